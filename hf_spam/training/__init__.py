"""How do splits and weights become a run?"""
