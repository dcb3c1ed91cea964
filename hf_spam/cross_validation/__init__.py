"""How good is a recipe on messages that it has not seen, and on nothing like them?"""
