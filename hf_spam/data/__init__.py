"""Where do messages come from, and how do they become splits?"""
