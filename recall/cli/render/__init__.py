"""Results of commands as tables and text for people, and as plain data for `--json`."""
