"""Answers from a published run: the Recommender, reloading, export, Cypher, and writing back."""
