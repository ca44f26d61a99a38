"""Candidates for files of queries: in parts that are written whole, by several processes."""
