"""The one trainer of every model with weights: task, schedule, context, checkpoints, and losses to share."""
