"""Several channels as one weighted score."""
