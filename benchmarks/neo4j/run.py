"""One command for all numbers about Neo4j, on a real server that it starts itself.

    python -m benchmarks neo4j [--only read changes write paths same gds] [--data DIR]

Each section is a module of this package with `run(context) -> rows`. It gets a server of its own (Neo4j Community with
Graph Data Science, an empty database), so that no section measures what another has left in the heap or on the disk;
within a section all systems work on the same server and the same database. `--data` names the folder that holds
`gowalla/`, which is not part of the project; without it the section `gds` is left out.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.results import record
from kg.stores.neo4j.client import Neo4jStore
from kg.stores.neo4j.connection import Neo4jConnection
from tests.neo4j_server.server import Neo4jServer, jars, missing

POM = Path(__file__).parent / "pom.xml"
ROOT = Path(__file__).resolve().parents[2]
PASSWORD_ENV = "GRAPHRECALL_BENCHMARK_PASSWORD"  # noqa: S105 - the name of a variable
GDS = "2.13.9"
HEAP, PAGE_CACHE = "2g", "512m"
SETTINGS = ("dbms.security.procedures.unrestricted=gds.*",)
SECTIONS = {
    "read": "relationships a second into Parquet, beside a reader of a record a row",
    "changes": "rows and time of a nightly reading with a watermark, beside a reading of everything",
    "write": "relationships a second of a load, vectors a second of a write-back",
    "paths": "latency of path queries on both stores, beside the enumeration in memory",
    "same": "a run from Neo4j beside the run from RDF of the same facts",
    "gds": "recall and time beside Graph Data Science, on gowalla",
}


@dataclass
class Context:
    """What a section works with.

    Attributes:
        name: of the section.
        server: started, with an empty database; a section may stop and start it.
        connection: to that server; the password is in the environment.
        folder: empty, for files of the section; removed afterwards.
        data: folder of the data that is not part of the project, or None.
        facts: settings and checksums worth keeping in the result file, plain data; a section adds to them.
    """

    name: str
    server: Neo4jServer
    connection: Neo4jConnection
    folder: Path
    data: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def open(self) -> Neo4jStore:
        """Connect; the caller closes."""
        return self.connection.open()

    def keep(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Print the rows and write `results/neo4j_NAME.json`; a long section calls it after every step."""
        record(f"neo4j_{self.name}", rows, **self.facts)


@contextmanager
def section(name: str, data: Path | None = None) -> Iterator[Context]:
    """A fresh server for one section."""
    with tempfile.TemporaryDirectory(prefix="graphrecall-benchmark-") as folder:
        home = Path(folder) / "server"
        link_plugins(home)
        work = Path(folder) / "work"
        work.mkdir()
        os.environ[PASSWORD_ENV] = secrets.token_urlsafe(16)
        server = Neo4jServer(
            home, password=os.environ[PASSWORD_ENV], pom=POM, heap=HEAP, page_cache=PAGE_CACHE, settings=SETTINGS
        )
        with server:
            connection = Neo4jConnection(uri=server.uri, password_env=PASSWORD_ENV, timeout=3600.0)
            context = Context(name=name, server=server, connection=connection, folder=work, data=data)
            context.facts["server"] = server_facts(context)
            yield context


def link_plugins(home: Path) -> None:
    """Graph Data Science registers its procedures from the folder of plugins only, though it is on the class path."""
    plugins = home / "plugins"
    plugins.mkdir(parents=True)
    for jar in jars(POM).glob(f"*-{GDS}.jar"):
        (plugins / jar.name).symlink_to(jar)


def server_facts(context: Context) -> dict[str, str]:
    """What runs there."""
    with context.open() as store:
        (row,) = store.read(
            "CALL dbms.components() YIELD name, versions, edition RETURN name, versions, edition LIMIT 1"
        )
        (gds,) = store.read("RETURN gds.version() AS version")
    return {
        "neo4j": f"{row['versions'][0]} {row['edition']}",
        "gds": gds["version"],
        "heap": HEAP,
        "page_cache": PAGE_CACHE,
    }


def main(argv: Sequence[str]) -> None:
    """Run the sections and keep their results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks neo4j", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="; ".join(f"{k}: {v}" for k, v in SECTIONS.items()))
    parser.add_argument("--data", type=Path, help="folder that holds gowalla/")
    arguments = parser.parse_args(argv)
    if lacking := missing():
        parser.error(f"{lacking}: install a Java 17 runtime and Maven")
    chosen = arguments.only or [name for name in SECTIONS if name != "gds" or arguments.data is not None]
    if "gds" in chosen and (arguments.data is None or not (arguments.data / "gowalla").is_dir()):
        parser.error("the section gds needs --data, a folder with gowalla/train.txt and gowalla/test.txt")
    if "gds" not in chosen:
        print("section gds is left out")
    # Whoever stops the benchmark stops its server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    for name in chosen:
        with section(name, arguments.data) as context:
            context.keep(import_module(f"benchmarks.neo4j.{name}").run(context))
