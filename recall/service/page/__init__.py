"""The page for people: files that a browser loads once, and that ask the addresses of the service themselves."""
