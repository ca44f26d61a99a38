"""Nearest items by inner product through FAISS, and the best k of blocks of scores."""
