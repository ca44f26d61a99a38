"""Cypher: queries that find paths again, ready queries, and the guard that lets only reading ones pass."""
