"""Is it the same as the book?"""
