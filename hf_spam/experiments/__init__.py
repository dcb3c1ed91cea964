"""Which of several recipes is best, and by how much?"""
