"""The table of attacks: hostile files, queries, runs and disks, each tried by the command line in a process of its own.

python -m benchmarks attacks [--only WORD] [--folder DIR]

Nothing of it is stored: the inputs are made, given to a command, and removed. An attack is lost when the command ends
in another way than by one line that says why it refuses (or, where that is said, by setting the bad part aside), when
it takes more memory or time than `MEMORY` and `SECONDS`, or when afterwards the runs are not as they were.
"""

from __future__ import annotations

import argparse
import bz2
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks import results
from kg.errors import ArtifactError
from kg.io.files import checksum, read_json
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from tests.attacks import files, queries, rdf, runs
from tests.recall.conftest import write_deployment
from tests.soak.disk import FULL, can_mount

# Bytes of the command and the processes that it starts, together. Half of the memory that is free is what a process
# that reads a text may take.
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 5 // 8
SECONDS = 300.0
TIMEOUT = 3  # seconds that a query may take
HEADER = b"user_id,item_id\n"
GRAPHRECALL = (sys.executable, "-c", "from recall.cli.main import main; main()")


@dataclass(frozen=True)
class Try:
    """One command on one hostile input.

    Attributes:
        words: of the command line, after `graphrecall`.
        size: bytes of the input.
        before: words before the command, such as those that mount a small disk.
        says: what its last line has to say when it refuses; "" for anything.
        may_succeed: it may also end well: the bad part is set aside, or a limit of the system is enough.
    """

    words: tuple[str, ...]
    size: int
    before: tuple[str, ...] = ()
    says: str = ""
    may_succeed: bool = False


@dataclass(frozen=True)
class Attack:
    """One kind of attack.

    Attributes:
        name: in words.
        make: makes its inputs, one after the other.
    """

    name: str
    make: Callable[[Victim], Iterator[Try]]


class Victim:
    """A deployment with a run, to be attacked.

    Attributes:
        folder: where inputs are made; emptied after each attack.
        config: of the deployment.
        run: that serves.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "input"
        self.config = write_deployment(root / "deployment")
        done = subprocess.run([*GRAPHRECALL, "refresh", str(self.config)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the deployment to be attacked cannot be made: {done.stderr}")
        self.runs = RunsFolder(self.config.parent / "runs")
        self.run = self._serving()
        self._before = self._state()

    def _serving(self) -> RunLayout:
        run = self.runs.current()
        if run is None:
            raise ArtifactError("no run serves")
        return run

    def _state(self) -> dict[str, str]:
        run = self._serving()
        return {str(path): checksum(path) for path in sorted(run.path.rglob("*")) if path.is_file()}

    def unharmed(self) -> bool:
        """Whether the same run serves, with the same files, and no work of others is left."""
        return self._state() == self._before and not self.runs.staging_root.exists()

    def source(self, section: str, file: Path, *, more: str = "") -> Try:
        """A configuration with a hostile source, to be looked through as a refresh does."""
        text = self.config.read_text()
        listed = '[[sources.interactions]]\nfiles = ["ratings.csv"]'
        if section == "interactions":
            text = text.replace(listed, f'[[sources.interactions]]\nfiles = ["{file}"]\n{more}')
        else:
            text += f'[[sources.{section}]]\nfiles = ["{file}"]\n{more}\n'
        config = self.config.parent / "hostile.toml"
        config.write_text(text)
        return Try(("check", str(config)), file.stat().st_size)

    def copied_run(self) -> Path:
        """The run, in a runs folder of its own, to be changed."""
        target = self.folder / f"runs-{len(list(self.folder.iterdir()))}" / self.run.name
        shutil.copytree(self.run.path, target)
        return target

    def asked(self, run: Path, *, by: str = "recommend") -> Try:
        """A command that reads a run."""
        words = {"recommend": ("--user", "u1"), "cypher": ("RETURN 1 AS x",), "evaluate": ()}[by]
        return Try((by, str(run), *words), sum(path.stat().st_size for path in run.rglob("*") if path.is_file()))


def _tables(section: str, make: Callable[[Path], Path], **more: Any) -> Callable[[Victim], Iterator[Try]]:
    def tries(victim: Victim) -> Iterator[Try]:
        options = dict(more)
        keys = options.pop("keys", "")
        yield replace(victim.source(section, make(victim.folder), more=keys), **options)

    return tries


def _interactions(
    name: str, content: Callable[[], bytes], *, megabytes: int = 0, head: bytes = b"", **more: Any
) -> Callable[[Victim], Iterator[Try]]:
    """A table of interactions: of one content, or of so many megabytes of it again and again in a .gz file."""

    def make(at: Path) -> Path:
        path = at / name
        if not megabytes:
            return _written(path, content())
        return files.gzip_of(path, content(), megabytes=megabytes, head=head)

    return _tables("interactions", make, **more)


def _parquet(make: Callable[..., Path], **sizes: int) -> Callable[[Victim], Iterator[Try]]:
    return _tables("interactions", lambda at: make(at / "a.parquet", **sizes))


def _queries(texts: dict[str, str]) -> Callable[[Victim], Iterator[Try]]:
    def tries(victim: Victim) -> Iterator[Try]:
        for text in texts.values():
            if len(text) > 100_000:  # more than a system takes on a command line: by a file of the shell
                file = victim.folder / "query.cypher"
                file.write_text(text)
                program = "import sys; from pathlib import Path; from recall.cli.main import main; "
                program += f"main(['cypher', sys.argv[1], Path(sys.argv[2]).read_text(), '--timeout', '{TIMEOUT}'])"
                yield Try((), len(text), before=(sys.executable, "-c", program, str(victim.run.path), str(file)))
            else:
                words = ("cypher", str(victim.run.path), text, "--timeout", str(TIMEOUT), "--json")
                yield Try(words, len(text), may_succeed=True)

    return tries


def _runs(
    *changes: Callable[[Victim, Path], Path], by: str = "recommend", may_succeed: bool = False
) -> Callable[[Victim], Iterator[Try]]:
    def tries(victim: Victim) -> Iterator[Try]:
        for change in changes:
            yield replace(victim.asked(change(victim, victim.copied_run()), by=by), may_succeed=may_succeed)

    return tries


def _changed_parquet(victim: Victim) -> Iterator[Try]:
    random = np.random.default_rng(7)
    good = files.parquet_of_runs(victim.folder / "good.parquet", rows=2000).read_bytes()
    for _ in range(12):
        path = files.changed_bytes(victim.folder / "bad.parquet", good, random, many=6)
        yield replace(victim.source("interactions", path), may_succeed=True)


def _link_in_runs(victim: Victim) -> Iterator[Try]:
    precious = victim.folder / "precious"
    for name in (".staging", ".cache", ".rejected", ".records", ".privacy", ".tune"):
        deployment = victim.folder / name.strip(".")
        config = write_deployment(deployment)
        precious.mkdir(exist_ok=True)
        (precious / "photo.jpg").write_text("dear")
        (deployment / "runs").mkdir()
        (deployment / "runs" / name).symlink_to(precious)
        yield Try(("refresh", str(config)), 0, says="is a link to")
        if (precious / "photo.jpg").read_text() != "dear":
            raise SystemExit(f"{name}: what lay behind the link is gone")


def _full_disk(*words: str) -> Callable[[Victim], Iterator[Try]]:
    def tries(victim: Victim) -> Iterator[Try]:
        copied = victim.folder / "deployment"
        shutil.copytree(victim.config.parent, copied, symlinks=True)
        if not can_mount(copied / "runs"):
            return
        there = [path.stat().st_size for path in victim.runs.path.rglob("*") if path.is_file()]
        pages = sum(-(-size // 4096) * 4096 for size in there)
        for left in (200_000, 400_000, 800_000):
            # The disk is there for one command alone, and holds the runs.
            script = (
                f"mount -t tmpfs -o size={pages + left} tmpfs {copied}/runs && "
                f'cp -a {victim.runs.path}/. {copied}/runs && "$@"; code=$?; '
                f"test -e {copied}/runs/.staging && echo 'error: the staging is still there' >&2 && code=99; exit $code"
            )
            yield Try(
                (*words[:1], str(copied / "config.toml"), *words[1:]),
                left,
                before=("unshare", "-rm", "sh", "-c", script, "sh"),
                says=FULL,
            )

    return tries


ATTACKS = (
    Attack("Cypher: texts that ended the process", _queries(queries.CRASHES)),
    Attack("Cypher: memory", _queries(queries.MEMORY_BOMBS)),
    Attack("Cypher: time, rows and length", _queries(queries.SLOW)),
    Attack("Cypher: other functions and forms", _queries(queries.VARIANTS)),
    Attack(
        "RDF/XML: entities of entities",
        _tables("rdf", lambda at: rdf.exploding_entities(at / "a.rdf", entities=10, width=10)),
    ),
    Attack(
        "RDF/XML: an entity in each of 5,000 elements",
        _tables("rdf", lambda at: rdf.entity_in_each_element(at / "a.rdf", length=60_000, elements=5000)),
    ),
    Attack(
        "RDF/XML: 50,000 attributes",
        _tables("rdf", lambda at: rdf.attributes(at / "a.rdf", count=50_000), may_succeed=True),
    ),
    Attack(
        "RDF/XML: 32,000 elements in each other",
        _tables("rdf", lambda at: rdf.elements_in_each_other(at / "a.rdf", depth=16_000)),
    ),
    Attack(
        "Turtle: 50,000 triple terms in each other",
        _tables("rdf", lambda at: _written(at / "a.ttl", rdf.star(50_000))),
    ),
    Attack(
        "N-Triples: 50,000 triple terms in each other",
        _tables("rdf", lambda at: _written(at / "a.nt", rdf.GOOD + rdf.star(50_000)), may_succeed=True),
    ),
    Attack(
        "N-Triples: a line of 1.5 GB in .gz",
        _tables("rdf", lambda at: files.gzip_of(at / "a.nt.gz", b"x", megabytes=1500)),
    ),
    Attack("CSV: 2 GB in a small .gz", _interactions("a.csv.gz", lambda: b"u,1\n", megabytes=2000, head=HEADER)),
    Attack("CSV: 200,000 columns", _interactions("a.csv", lambda: b"c," * 200_000 + b"\n1\n")),
    Attack("CSV: a line of 100 MB", _interactions("a.csv", lambda: HEADER + b"x" * 100_000_000)),
    Attack(
        "CSV: 250 MB of commas with a bad line in .gz",
        _interactions("a.csv.gz", lambda: b",\n", megabytes=250, head=HEADER + b"1\n"),
    ),
    Attack(
        "lists: 250 MB in a small .gz",
        _interactions("a.txt.gz", lambda: b"u i\n", megabytes=250, keys='format = "lists"'),
    ),
    Attack("JSON lines: 250 MB in a small .gz", _interactions("a.jsonl.gz", lambda: b'{"a":1}\n', megabytes=250)),
    Attack(
        "JSON lines: lists in lists",
        _interactions("a.jsonl", lambda: b'{"a": ' + b"[" * 500_000 + b"]" * 500_000 + b"}\n"),
    ),
    Attack(
        "JSON lines: another key in each object",
        _interactions("a.jsonl", lambda: b"".join(b'{"k%d":1}\n' % number for number in range(200_000))),
    ),
    Attack("CSV packed with bzip2", _interactions("a.csv.bz2", lambda: bz2.compress(b"u,1\n" * 10_000_000))),
    Attack("Parquet: 400 million rows in runs", _parquet(files.parquet_of_runs, rows=100 << 22)),
    Attack("Parquet: 1.6 billion rows of nothing", _parquet(files.parquet_of_nulls, rows=100 << 24)),
    Attack("Parquet: one text in every cell", _parquet(files.parquet_of_one_text, length=1 << 20, rows=100_000)),
    Attack("Parquet: 30,000 columns", _parquet(files.parquet_of_columns, columns=30_000)),
    Attack("Parquet: changed bytes", _changed_parquet),
    Attack("runs folder: a link in the place of a folder", _link_in_runs),
    Attack("run: changed database", _runs(lambda _, run: runs.changed_store(run), by="cypher")),
    Attack(
        "run: links",
        _runs(
            lambda victim, run: runs.linked_out(run, victim.config),
            lambda victim, run: runs.linked_folder(run, victim.folder / "graph"),
        ),
    ),
    Attack(
        "run: names of files elsewhere",
        _runs(
            lambda _, run: runs.manifest_with(run, "../../config.toml"),
            lambda _, run: runs.manifest_with(run, "/etc/hostname"),
            lambda _, run: runs.index_with(run, "../../x.parquet"),
            lambda _, run: runs.index_with(run, "/etc/hostname"),
        ),
    ),
    Attack("run: a configuration of lists in lists", _runs(lambda _, run: runs.deep_config(run), may_succeed=True)),
    Attack(
        "run: tensors larger than memory",
        _runs(
            lambda _, run: runs.huge_tensors(run),
            lambda _, run: runs.huge_tensors(run, header=1 << 40),
            lambda _, run: runs.huge_tensors(run, header=(1 << 63) - 1),
        ),
    ),
    Attack(
        "run: indexes that claim very many vectors",
        _runs(
            *(lambda _, run, claim=claim: runs.huge_index(run, claim=claim) for claim in (1 << 30, 1 << 40, -1)),
        ),
    ),
    Attack("full disk: refresh", _full_disk("refresh", "--full")),
    Attack("full disk: forget", _full_disk("forget", "--user", "u1")),
)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@dataclass(frozen=True)
class Outcome:
    """What came of one try.

    Attributes:
        code: exit code; negative for a signal.
        said: the last line that begins with "error:", without that word.
        seconds: that it took.
        peak: bytes of the command and all that it started, together.
        problems: in which way it is lost.
    """

    code: int
    said: str
    seconds: float
    peak: int
    problems: tuple[str, ...]


def tried(attempt: Try) -> Outcome:
    """Run a command on a hostile input, and measure it."""
    graphrecall = GRAPHRECALL if attempt.words else ()
    command = [*attempt.before, *graphrecall, *attempt.words]
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=out)
        start, peak = time.monotonic(), 0
        late = False
        while process.poll() is None:
            peak = max(peak, _memory(process))
            late = time.monotonic() - start > SECONDS
            if late or peak > MEMORY:
                for one in [*process.children(recursive=True), process]:
                    one.kill()
            time.sleep(0.02)
        seconds = time.monotonic() - start
        out.seek(0)
        text = out.read()
    code = process.wait()
    errors = [line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")]
    problems = []
    if late:
        problems.append(f"takes longer than {SECONDS:g} s")
    if peak > MEMORY:
        problems.append(f"takes more than {MEMORY >> 20:,} MB")
    if "Traceback" in text:
        problems.append(f"a traceback: {text[-300:]}")
    if code == 0 and not attempt.may_succeed:
        problems.append("is taken as good")
    if code not in (0, 1, 2) or (code and not errors):
        problems.append(f"exit code {code} without a reason: {text[-300:]}")
    if code and attempt.says not in text:
        problems.append(f"does not say {attempt.says!r}: {text[-300:]}")
    return Outcome(code, errors[-1] if errors else "", seconds, peak, tuple(problems))


def _memory(process: psutil.Process) -> int:
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.Error:  # it has just ended
        pass
    return total


def row_of(attack: Attack, victim: Victim) -> dict[str, Any]:
    """Try all of an attack; counts, and the worst of what was measured."""
    outcomes, sizes, lost = [], [], []
    victim.folder.mkdir()
    try:
        for attempt in attack.make(victim):
            outcome = tried(attempt)
            problems = [*outcome.problems, *([] if victim.unharmed() else ["the runs are not as they were"])]
            outcomes.append(outcome)
            sizes.append(attempt.size)
            lost += [problems] if problems else []
    finally:
        shutil.rmtree(victim.folder)
    refused = [outcome for outcome in outcomes if outcome.code]
    return {
        "attack": attack.name,
        "bytes": max(sizes, default=0),
        "tried": len(outcomes),
        "refused": len(refused),
        "lost": len(lost),
        "exit_code": max((outcome.code for outcome in outcomes), default=0),
        "says": _shown(refused[0].said, victim) if refused else "",
        "mb": max((outcome.peak for outcome in outcomes), default=0) >> 20,
        "seconds": round(max((outcome.seconds for outcome in outcomes), default=0.0), 1),
        "problems": lost,
    }


def _shown(text: str, victim: Victim) -> str:
    """The beginning of a message, without the places of this machine."""
    text = text.replace(str(victim.folder), "").replace(str(victim.config.parent), "")
    return text if len(text) <= 160 else text[:160] + " ..."


def main(argv: Sequence[str]) -> None:
    """Try all attacks, print the table and keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks attacks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="attacks whose name has this in it; the others stay")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="graphrecall-attacks-", dir=arguments.folder) as root:
        victim = Victim(Path(root))
        rows = []
        for attack in ATTACKS:
            if arguments.only in attack.name:
                rows.append(row_of(attack, victim))
                facts = rows[-1]
                print(f"{facts['attack']}: {facts['tried']} tried, {facts['refused']} refused, {facts['lost']} lost, "
                      f"{facts['mb']} MB, {facts['seconds']} s. {facts['says']}", flush=True)  # fmt: skip
                for problems in facts["problems"]:
                    print(f"    LOST: {'; '.join(problems)}", flush=True)
    kept = results.FOLDER / "attacks.json"
    if arguments.only and kept.exists():
        by_name = {row["attack"]: row for row in [*read_json(kept)["rows"], *rows]}
        rows = [by_name[attack.name] for attack in ATTACKS if attack.name in by_name]
    results.record("attacks", rows, limits={"bytes": MEMORY, "seconds": SECONDS})
