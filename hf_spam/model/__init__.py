"""What travels with the weights? The configuration, the GPT, and the two transformers models around it."""
