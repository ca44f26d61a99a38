"""The trainer and what it works with: losses, validation, checkpoints, several ranks."""
