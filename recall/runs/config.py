"""The configuration that a run was made with: config.json, whole or one section by its class."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from kg.errors import ArtifactError, ConfigError
from kg.io.files import read_json
from kg.settings import validate
from recall.runs.layout import RunLayout

T = TypeVar("T", bound=BaseModel)


def read_config(run: RunLayout) -> dict[str, Any]:
    """The configuration of a run as plain data.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    config = read_json(run.config)
    if not isinstance(config, dict):
        raise ArtifactError(f"{run.config} is damaged: it holds no object")
    return config


def read_section(run: RunLayout, name: str, kind: type[T]) -> T | None:
    """One section of the configuration of a run, or None where it has none.

    What serves reads single sections: the class of the whole configuration imports `ingest`.

    Args:
        run: it.
        name: of the section.
        kind: its class.

    Raises:
        ArtifactError: the configuration, or the section, is damaged.
    """
    section = read_config(run).get(name)
    if section is None:
        return None
    try:
        return validate(kind, section, where=f"its section {name}")
    except ConfigError as error:
        raise ArtifactError(f"{run.config} is damaged: {error}") from error
