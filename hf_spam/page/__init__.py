"""What does a person see, who opens the server in a browser?"""
