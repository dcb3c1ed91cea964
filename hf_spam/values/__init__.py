"""Which values may an option have?"""
