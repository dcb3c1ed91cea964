"""What travels with the weights?"""
