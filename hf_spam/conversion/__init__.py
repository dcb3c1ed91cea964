"""Which weights can a model start from, and into which formats can it be converted?"""
