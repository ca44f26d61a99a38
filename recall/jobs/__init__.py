"""Scheduled work: refresh (inputs, plan, stages), forgetting, decisions about runs, and the schedule."""
