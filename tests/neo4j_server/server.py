"""A real Neo4j Community server on loopback, for tests, benchmarks and people who want to play.

`python tests/neo4j_server/server.py`, or `make neo4j`, starts one, prints its address and password, and stops on
Ctrl-C.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from filelock import FileLock

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
ROOT = HERE.parent.parent
READY_SECONDS = 180
SHORTEST_PASSWORD = 8
BOLT_PORT = 7687  # where clients look first
OPENED = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")


def missing() -> str | None:
    """What this machine lacks to run the server, or None."""
    lacking = [name for name in ("java", "mvn") if shutil.which(name) is None]
    return f"no {' and no '.join(lacking)} on this machine" if lacking else None


def jars(pom: Path = POM) -> Path:
    """The folder of the server's jars; Maven fetches them the first time (some 120 MB)."""
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    folder = ROOT / ".cache" / "jars" / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            half = folder.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            subprocess.run(
                [
                    *("mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"),
                    *("-DincludeScope=runtime", f"-DoutputDirectory={half}"),
                ],
                check=True,
                stdin=subprocess.DEVNULL,
            )
            half.rename(folder)
    return folder


def free_port(wanted: int = 0) -> int:
    """The wanted port if nobody listens there, else any that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_keeper() -> None:
    """In the child: end in order when the process that started the server is killed (Linux).

    The kernel watches the thread that started it, so only the main thread may ask for this.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Neo4jServer:
    """One server with a data folder of its own.

    Attributes:
        folder: data, configuration and log.
        uri: Bolt address.
        user, password: of the only account.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        port: int = 0,
        pom: Path = POM,
        heap: str = "1g",
        page_cache: str = "256m",
        settings: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.user = "neo4j"
        self.password = password or secrets.token_urlsafe(16)
        self.port = free_port(port)
        self.uri = f"neo4j://127.0.0.1:{self.port}"
        self.pom, self.heap, self.page_cache, self.settings = pom, heap, page_cache, tuple(settings)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.folder / "console.log"

    def start(self) -> Neo4jServer:
        """Start, or start again on the same data and port; returns when Bolt answers a query."""
        library = jars(self.pom)
        conf = self.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "neo4j.conf").write_text(
            "\n".join(
                [
                    f"server.bolt.listen_address=127.0.0.1:{self.port}",
                    f"server.bolt.advertised_address=127.0.0.1:{self.port}",
                    "server.default_listen_address=127.0.0.1",
                    "server.http.enabled=false",
                    "server.https.enabled=false",
                    "dbms.usage_report.enabled=false",
                    f"server.memory.heap.max_size={self.heap}",
                    f"server.memory.pagecache.size={self.page_cache}",
                    *self.settings,
                    "",
                ]
            )
        )
        command = ["java", f"-Xmx{self.heap}", "-XX:+UseParallelGC"]
        command += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED]
        command += ["-cp", f"{library}/*", "org.neo4j.server.CommunityEntryPoint"]
        command += [f"--home-dir={self.folder}", f"--config-dir={conf}", "--console-mode"]
        with self.log.open("ab") as log:
            # A process group of its own: Ctrl-C at the terminal must not reach it before its keeper decides.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_keeper if threading.current_thread() is threading.main_thread() else None,
            )
        self._wait()
        return self

    def _wait(self) -> None:
        from neo4j import GraphDatabase
        from neo4j.exceptions import AuthError, ClientError, DriverError, Neo4jError

        deadline = time.monotonic() + READY_SECONDS
        last: Exception | None = None
        initial = ("neo4j", "neo4j")
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    pass
            except OSError as error:
                last = error
                time.sleep(0.2)
                continue
            try:
                if not (self.folder / "password-is-set").exists():
                    with GraphDatabase.driver(self.uri, auth=initial) as driver, driver.session(database="system") as s:
                        s.run(
                            "ALTER CURRENT USER SET PASSWORD FROM $old TO $new", old=initial[1], new=self.password
                        ).consume()
                    (self.folder / "password-is-set").touch()
                with GraphDatabase.driver(self.uri, auth=(self.user, self.password)) as driver:
                    driver.execute_query("RETURN 1", database_="neo4j")
                return
            except AuthError:
                raise
            except (DriverError, Neo4jError, ClientError) as error:
                last = error
                time.sleep(0.3)
        ended = self.ended()
        self.kill()
        raise RuntimeError(ended or f"Neo4j did not answer within {READY_SECONDS} s: {last}\n{self._tail()}")

    def ended(self) -> str | None:
        """What there is to say about a server that ended by itself, or None while it runs."""
        if self.process is None or self.process.poll() is None:
            return None
        return f"Neo4j ended by itself with {self.process.returncode}; the last that it said:\n{self._tail()}"

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def stop(self) -> None:
        """Shut down in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as when the machine dies."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self) -> Neo4jServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def main() -> None:
    """Serve until Ctrl-C."""
    password = os.environ.get("NEO4J_PASSWORD")
    if password and len(password) < SHORTEST_PASSWORD:
        sys.exit(f"NEO4J_PASSWORD is too short for Neo4j: give it {SHORTEST_PASSWORD} characters or more, or unset it")
    if lacking := missing():
        sys.exit(f"{lacking}: install a Java 17 runtime and Maven")

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="graphrecall-neo4j-"))
    server = Neo4jServer(folder, password=password, port=BOLT_PORT)
    try:
        server.start()
        lines = [
            f"Neo4j is ready at {server.uri} (user {server.user}, database neo4j). In another terminal:",
            f"  export NEO4J_URI={server.uri} NEO4J_PASSWORD={server.password}",
            "  .venv/bin/graphrecall load examples/movies/demo.toml --neo4j $NEO4J_URI",
            "  .venv/bin/graphrecall refresh examples/movies/neo4j.toml",
            "Ctrl-C stops it and removes its data.",
        ]
        if server.port != BOLT_PORT:
            lines.insert(-1, f"Port {BOLT_PORT} is taken: write this address into examples/movies/neo4j.toml first.")
        print("\n".join(lines), flush=True)  # noqa: T201
        while (ended := server.ended()) is None:
            time.sleep(0.5)
        sys.exit(ended)
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second one must not leave the server behind
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
