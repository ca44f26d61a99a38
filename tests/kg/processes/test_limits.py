"""Limits of a process, and the memory that is free."""

from __future__ import annotations
