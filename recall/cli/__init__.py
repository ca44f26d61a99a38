"""The command line: one module a group of commands, what they print in `render`."""
