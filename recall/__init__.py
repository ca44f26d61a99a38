"""Candidates and reasons: index, channels, the Recommender, explanations, the refresh job, the command line."""
