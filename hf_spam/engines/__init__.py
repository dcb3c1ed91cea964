"""Which library turns token ids into logits?"""
