"""Is a folder the model that it says it is?"""
