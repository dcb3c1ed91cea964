"""How does a run deal with this machine: its processes, its disk and the network?"""
