"""What a run was made by."""

from __future__ import annotations

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

DECISIVE = (
    "graphrecall",
    "torch",
    "torch-geometric",
    "transformers",
    "faiss-cpu",
    "pyarrow",
    "pyoxigraph",
    "numpy",
    "scipy",
    "safetensors",
)


def library_versions() -> dict[str, str]:
    """Versions of everything that decides what a run holds."""
    versions = {"python": platform.python_version()}
    for name in DECISIVE:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
