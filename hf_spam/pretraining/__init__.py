"""How does a GPT learn the language of the messages, before it learns their labels?"""
