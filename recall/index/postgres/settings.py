"""Where the PostgreSQL server is, and how its index is built."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from kg.settings import Settings
from kg.settings.secrets import masked_text

SCHEMES = ("postgresql", "postgres")


class PostgresConfig(Settings):
    """Where the PostgreSQL server is, and how its index is built. libpq reads the password: PGPASSWORD or ~/.pgpass."""

    section: ClassVar[str] = "postgres"

    uri: str = Field(description="Address of the database, `postgresql://host:5432/name`, without an account.")
    user: str | None = Field(default=None, description="Account; default: PGUSER, or the name of the user.")
    timeout: float = Field(default=10.0, gt=0, le=3600, description="Seconds that one query may take.")
    connect_timeout: int = Field(default=5, ge=1, le=600, description="Seconds that the server has to answer at first.")
    links: int = Field(default=16, ge=2, le=100, description="Graph neighbours of each vector in HNSW (m).")
    build: int = Field(
        default=64, ge=4, le=1000, description="Candidates examined while HNSW is built (ef_construction)."
    )

    @field_validator("uri")
    @classmethod
    def _uri_is_an_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            good = parts.scheme in SCHEMES and parts.port != 0
        except ValueError:
            good = False
        if masked_text(value) != value:
            raise ValueError(
                "the address of the PostgreSQL server holds an account or a password: take it out; the account goes "
                "into `user`, the password into the environment variable PGPASSWORD or the file ~/.pgpass"
            )
        if not good:
            raise ValueError(f"{value!r} is no address of a PostgreSQL server: write postgresql://host:5432/name")
        return value
