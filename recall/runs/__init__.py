"""Runs on disk: where each artifact lies, which run serves, who reads it, and what people decided about it."""
