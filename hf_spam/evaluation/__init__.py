"""How good is a model, by which figures, and how sure are they?"""
