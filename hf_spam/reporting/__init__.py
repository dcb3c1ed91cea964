"""What must a person know before trusting it?"""
