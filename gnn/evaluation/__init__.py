"""Ranking metrics, the best items of every user, and who is evaluated on what."""
