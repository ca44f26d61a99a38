"""Candidates and reasons in a browser: the modules and styles that page and notebooks share, and the widget."""
