"""The one TOML file of a deployment: its sections as classes, reading and writing it, its reference and its schema."""
