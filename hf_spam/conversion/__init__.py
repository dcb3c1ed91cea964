"""Which weights come in, and which formats go out?"""
