"""Drift between the runs of a folder: of what goes into them, and of the candidates that come out."""
