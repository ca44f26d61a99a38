"""The graph into embeddings: text features, models, training and evaluation."""
