"""How fast is it? Training and inference, each against named peers on one machine."""
