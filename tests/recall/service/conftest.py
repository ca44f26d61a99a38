"""A service that all tests ask which leave it as it is."""

from __future__ import annotations

from collections.abc import Iterator

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
