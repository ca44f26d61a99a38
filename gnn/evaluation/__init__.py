"""Evaluation of rankings, for any model: metrics, the best items of every user, and groups of users to measure on.

top_k, ranking    the largest values of each row (NumPy), and of users times items in blocks (torch)
metrics           values for each user, and of the lists as a whole
held_out          groups of users: histories, items to leave out, items to find
validation        the part of a split that stops a training
"""
