"""Operation: logs, metrics, the HTML report, summaries, the doctor."""
