"""What is said of a file of a run that holds something else than it should."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from kg.errors import ArtifactError


def damaged(file: Path | str, error: ValidationError) -> ArtifactError:
    """The error that names a file and the first place in it that is wrong."""
    first = error.errors(include_url=False)[0]
    at = ".".join(map(str, first["loc"])) or "its content"
    return ArtifactError(f"{file} is damaged: {at}: {first['msg']}")
