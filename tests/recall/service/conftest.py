"""Services that all tests ask which leave them as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recall.jobs.refresh import RefreshResult
from recall.serve.recommender import Recommender
from tests.recall.service.making import Served


@pytest.fixture(scope="session")
def served(refreshed: RefreshResult, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(refreshed.run.path.parent, tmp_path_factory.mktemp("service") / "log") as service:
        yield service


@pytest.fixture(scope="session")
def recommender(refreshed: RefreshResult) -> Recommender:
    """In this process, from the run of the service."""
    return Recommender.load(refreshed.run.path)


@pytest.fixture(scope="session")
def configured(deployment: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a configuration with a section `service`."""

    def write(section: str) -> Path:
        file = tmp_path_factory.mktemp("config") / "config.toml"
        file.write_text(deployment.read_text() + section)
        return file

    return write
