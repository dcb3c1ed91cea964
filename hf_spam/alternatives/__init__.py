"""What would users pick instead?"""
