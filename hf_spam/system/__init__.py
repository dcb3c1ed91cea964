"""What do the machine, its processes, its disk and the network do to us?"""
