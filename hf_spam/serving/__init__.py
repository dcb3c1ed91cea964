"""How do other programs ask for a label, over HTTP?"""
