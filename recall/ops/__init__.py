"""Running refreshes: logs, summaries, metrics for Prometheus, the HTML report, and checks of an installation."""
