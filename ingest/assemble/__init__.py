"""Clean facts of all sources into one graph."""
