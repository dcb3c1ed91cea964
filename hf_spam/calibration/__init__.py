"""What do scores mean, and from which score on may a message be blocked?"""
