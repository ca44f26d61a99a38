"""Texts into vectors: which BERT model, the encoder, its cache, and the features of a graph."""
