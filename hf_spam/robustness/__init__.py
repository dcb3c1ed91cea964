"""What do disguised messages do to the filter?"""
