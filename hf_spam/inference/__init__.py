"""How do texts become labels and scores?"""
