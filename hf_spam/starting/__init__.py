"""Where does a run start, and is it done already?"""
