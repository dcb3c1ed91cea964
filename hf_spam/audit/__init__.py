"""What is wrong with these messages?"""
