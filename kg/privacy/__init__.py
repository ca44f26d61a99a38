"""Users by other names or not at all: keyed hashes, graphs without some users, and what must never be printed."""
