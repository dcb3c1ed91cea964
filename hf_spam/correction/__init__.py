"""How does a model learn from its mistakes within seconds?"""
