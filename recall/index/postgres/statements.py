"""The SQL of an index: templates, in which the names of tables are quoted by psycopg."""

from __future__ import annotations

from typing import Any

from recall.index.postgres.connection import driver

SCHEMA = "graphrecall"
REGISTRY = "indexes"

MAKE_SCHEMA = "CREATE SCHEMA IF NOT EXISTS {schema}"
MAKE_REGISTRY = """
    CREATE TABLE IF NOT EXISTS {registry} (name text PRIMARY KEY, fingerprint text NOT NULL, dim int NOT NULL,
    items bigint NOT NULL, ef int NOT NULL, recall float8 NOT NULL)"""
DROP = "DROP TABLE IF EXISTS {table}"
MAKE = "CREATE TABLE {table} (position bigint PRIMARY KEY, embedding vector({dim}) NOT NULL)"
FILL = "COPY {table} (position, embedding) FROM STDIN WITH (FORMAT BINARY)"
INDEX = "CREATE INDEX ON {table} USING hnsw (embedding vector_ip_ops) WITH (m = {links}, ef_construction = {build})"
ANALYZE = "ANALYZE {table}"
SIZE = "SELECT count(*), pg_total_relation_size({name}::regclass) FROM {table}"

STATE = "SELECT fingerprint, dim, items, ef, recall FROM {registry} WHERE name = %s"
LOCK = "SELECT items FROM {registry} WHERE name = %s FOR UPDATE"
FORGET = "DELETE FROM {registry} WHERE name = %s"
KEEP = """
    INSERT INTO {registry} (name, fingerprint, dim, items, ef, recall) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint, dim = excluded.dim, items = excluded.items,
    ef = excluded.ef, recall = excluded.recall"""

PUT = """
    INSERT INTO {table} (position, embedding) VALUES (%s, %s)
    ON CONFLICT (position) DO UPDATE SET embedding = excluded.embedding"""
REMOVE = "DELETE FROM {table} WHERE position = ANY(%s)"
VECTORS = "SELECT position, embedding FROM {table} WHERE position = ANY(%s)"
# The index is used for the order of the distance alone; who is equal there is put in order afterwards.
NEAREST_WITHOUT = "SELECT position, embedding FROM {table} WHERE position <> ALL(%s) ORDER BY embedding <#> %s LIMIT %s"
NEAREST_AMONG = "SELECT position, embedding FROM {table} WHERE position = ANY(%s) ORDER BY embedding <#> %s LIMIT %s"
NEAREST_OF_FEW = """
    WITH allowed AS MATERIALIZED (SELECT position, embedding FROM {table} WHERE position = ANY(%s))
    SELECT position, embedding FROM allowed ORDER BY embedding <#> %s, position LIMIT %s"""


class Statements:
    """The templates, for the table of one index."""

    def __init__(self, name: str) -> None:
        """Quote names.

        Args:
            name: of the index.
        """
        self._sql = driver().sql
        table = self._sql.Identifier(SCHEMA, f"vectors_{name}")
        self._names = {
            "schema": self._sql.Identifier(SCHEMA),
            "registry": self._sql.Identifier(SCHEMA, REGISTRY),
            "table": table,
            "name": self._sql.Literal(f'{SCHEMA}."vectors_{name}"'),
        }

    def of(self, template: str, **numbers: int) -> Any:
        """A statement.

        Args:
            template: one of this module.
            numbers: further whole numbers that it names.
        """
        literals = {key: self._sql.Literal(value) for key, value in numbers.items()}
        return self._sql.SQL(template).format(**self._names, **literals)
