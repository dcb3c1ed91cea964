"""How do others get it from the Hugging Face Hub?"""
