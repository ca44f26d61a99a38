"""Scheduled work: inputs, plan, stages, refresh, forgetting, and their records."""
