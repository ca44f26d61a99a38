"""How to reach a Neo4j server, without ever holding its password where it could be logged."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator

from kg.errors import ConfigError
from kg.settings import Settings
from kg.settings.secrets import is_confidential

if TYPE_CHECKING:
    from kg.stores.neo4j.client import Neo4jStore

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 366 * 24 * 3600.0
_CONNECT_SECONDS = 10.0

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")


class Neo4jConnection(Settings):
    """Where the Neo4j server is, and which account to use there."""

    section: ClassVar[str] = "neo4j"

    uri: str = Field(
        description="Address of the server, `neo4j://host:7687`. The schemes `neo4j+s` and `bolt+s` are encrypted and "
        "check the certificate; `+ssc` takes a self-signed one."
    )
    database: str | None = Field(default=None, description="Name of the database; default: that of the server.")
    user: str = Field(
        default="neo4j",
        description="Account. The empty string logs in without one, for a server with authentication off.",
    )
    password_env: str = Field(
        default="NEO4J_PASSWORD", description="Name of the environment variable that holds the password."
    )
    password_file: str | None = Field(
        default=None,
        description="File that holds the password in its first line, read when the variable is not set. Relative to "
        "the configuration file.",
    )
    timeout: float = Field(default=120.0, gt=0, le=_LONGEST, description="Seconds that one query may take.")

    @field_validator("uri")
    @classmethod
    def _uri_is_an_address(cls, value: str) -> str:
        if "@" in value:
            # The address is written into reports and logs.
            raise ValueError(
                "the address of the Neo4j server holds a user or a password: take them out; the user goes into "
                "`user`, the password into the environment variable NEO4J_PASSWORD or into `password_file`"
            )
        try:
            parts = urlsplit(value)
            good = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if good and any(is_confidential(key) for key, _ in parse_qsl(parts.query, keep_blank_values=True)):
            raise ValueError(
                "the address of the Neo4j server holds a password: take it out, and put it into the environment "
                "variable NEO4J_PASSWORD or into `password_file`"
            )
        if good and (parts.path not in ("", "/") or parts.fragment):
            # The driver would leave it out and use the default database.
            raise ValueError(
                f"{value!r} has more than a server in it: write {parts.scheme}://{parts.netloc}, and name the "
                "database in `database` (--database)"
            )
        if not good:
            raise ValueError(f"{value!r} is no address of a Neo4j server: write {SCHEMES[0]}://host:7687")
        return value

    @field_validator("password_env")
    @classmethod
    def _password_env_is_a_variable(cls, value: str) -> str:
        if not _VARIABLE.fullmatch(value):
            # Not shown: it may be the password itself.
            raise ValueError(
                "is not the name of an environment variable: write NEO4J_PASSWORD, and put the password into that "
                "variable"
            )
        return value

    def open(self, *, base: Path | None = None) -> Neo4jStore:
        """Connect with the official driver, and make sure that the server lets us in.

        Args:
            base: folder that `password_file` is relative to; default: the working directory.

        Raises:
            ConfigError: there is no password.
            StoreUnavailableError: the server does not answer, or refuses the account or the database.
        """
        from neo4j import GraphDatabase

        from kg.stores.neo4j.client import Neo4jStore, driver_errors

        with driver_errors(self.uri):
            driver = GraphDatabase.driver(
                self.uri,
                auth=self._auth(base or Path.cwd()),
                user_agent="graphrecall",
                connection_timeout=_CONNECT_SECONDS,
                connection_acquisition_timeout=3 * _CONNECT_SECONDS,
                notifications_min_severity="OFF",  # such as "label does not exist", of an empty database
            )
        store = Neo4jStore(driver, database=self.database, timeout=self.timeout, name=self.uri, owns_driver=True)
        try:
            store.check()
        except BaseException:
            store.close()
            raise
        return store

    def _auth(self, base: Path) -> Any:
        if not self.user:
            return None
        password = os.environ.get(self.password_env)
        if password is None and self.password_file is not None:
            path = base / Path(self.password_file).expanduser()
            try:
                text = path.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the password file {path} cannot be read: {type(error).__name__}") from None
            password = text.split("\n", 1)[0].removesuffix("\r")
        if not password:
            where = f"set the environment variable {self.password_env}, or name a file in `password_file`"
            raise ConfigError(f"there is no password for {self.user!r} at {self.uri}: {where}")
        return (self.user, password)
