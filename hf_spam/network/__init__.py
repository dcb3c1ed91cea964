"""How do files come over the network?"""
