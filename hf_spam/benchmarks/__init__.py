"""How fast is it, next to what else people would use?"""
