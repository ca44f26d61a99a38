"""The base of all settings: values checked on the way in, errors that name the key, and no secret in any of them."""

from kg.settings.base import Settings, validate

__all__ = ["Settings", "validate"]
