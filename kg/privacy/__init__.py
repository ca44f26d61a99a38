"""Users by other names or not at all: keyed hashes, and graphs without some users."""
