"""Vectors of texts, by a BERT-style model.

model       which model, and where its files are
encoder     texts into vectors
cache       vectors on disk, so that no text is encoded twice
features    the text vectors of a graph's nodes
"""
