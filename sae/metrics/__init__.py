"""How good is a dictionary? One file a family of measures."""
