"""A module that cannot be imported."""

raise ImportError("this machine lacks libwalk")
