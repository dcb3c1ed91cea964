"""How do others get it? Repositories on the Hugging Face Hub, what is pushed to them, and the cards."""
