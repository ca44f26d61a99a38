"""Runs on disk: where each artifact lies, the typed report, which run serves, who reads it, what people decided."""
