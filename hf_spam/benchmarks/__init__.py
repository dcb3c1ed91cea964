"""How fast are training and inference, each against named peers on one machine?"""
