"""Candidates for files of queries: in parts that are written whole, on this machine or by an engine of several."""
