"""Which parameters train, and which work does that spare?"""
