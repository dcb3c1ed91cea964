"""What rows does a file hold, whatever its format?"""
