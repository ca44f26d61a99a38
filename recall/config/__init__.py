"""The one TOML file of a deployment."""
