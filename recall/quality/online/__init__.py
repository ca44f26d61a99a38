"""Tests with people: interleaving, A/B tests planned and read, and what another ranking would have earned.

interleaving   two rankings mixed into one list, and whose items are clicked
sizes          how many people an A/B test needs
fixed          an A/B test that is read once
sequential     an A/B test that may be read several times
off_policy     the value of a ranking that was not shown, from logged impressions

The statistics are those of SciPy and statsmodels (extra `online`).
"""
