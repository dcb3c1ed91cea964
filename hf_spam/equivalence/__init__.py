"""Is it the same as the book, step by step and to the last bit?"""
