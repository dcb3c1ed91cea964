"""How do texts become token ids, and ids batches?"""
