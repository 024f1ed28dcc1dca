"""The command-line programs, one module each; nothing imports them."""
