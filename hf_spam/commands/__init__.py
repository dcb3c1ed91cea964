"""What does each `hf-spam` command do? One module a command: parse, call a room, print."""
