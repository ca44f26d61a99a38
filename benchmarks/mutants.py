"""Would the tests notice a fault? Small changes of the code, one at a time, each tried against the tests that run it.

mutmut makes the changes (its settings, and which tests are asked, stand in `pyproject.toml`); a seeded sample of each
file is tried, since a change in what runs whole refreshes takes minutes. Survived: all tests passed. Some of those
change nothing that can be seen, such as a word of a message; the result file has the change itself for each.

    python -m benchmarks mutants [--sample 80] [--slow-sample 12] [--only 'recall/runs/*']

Rows of files that are not tried this time stay.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from tomllib import loads
from typing import Any

from benchmarks.results import FOLDER, record
from kg.io.files import read_json

MADE = Path("mutants")
MUTMUT = (sys.executable, "-m", "mutmut")
# Their tests run whole refreshes.
SLOW = ("recall/quality/gate.py", "recall/runs/*", "recall/jobs/*")
NOTHING = "no.such.mutant"
_KILLED = ("killed", "segfault", "suspicious")  # a test without end may have a slow machine as its cause


def main(rest: Sequence[str] = ()) -> None:
    """Try a sample and write `results/mutants.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=80, help="mutants of a file whose tests take milliseconds")
    parser.add_argument("--slow-sample", type=int, default=12, help="mutants of a file whose tests run refreshes")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="files to try")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(rest)
    settings = loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    _mutmut("run", NOTHING, check=False)  # makes the mutants, and asks which test runs which function
    names: dict[str, list[str]] = {}
    for path in sorted(_files(settings["only_mutate"])):
        if not any(fnmatch(path, pattern) for pattern in arguments.only):
            continue
        slow = any(fnmatch(path, pattern) for pattern in SLOW)
        names[path] = _drawn(path, arguments.slow_sample if slow else arguments.sample, arguments.seed)
    _mutmut("run", *(name for listed in names.values() for name in listed))
    status = _status()
    rows = [row for path, listed in names.items() if (row := _row(path, listed, status))["tried"]]
    survivors = {name: _change(name) for listed in names.values() for name in listed if status.get(name) == "survived"}
    file = FOLDER / "mutants.json"
    kept = read_json(file) if file.exists() else {"rows": [], "survivors": {}}
    others = [row for row in kept["rows"] if row["file"] not in names]
    modules = {_module(path) for path in names}
    record(
        "mutants",
        sorted([*others, *rows], key=itemgetter("file")),
        seed=arguments.seed,
        sample={"fast": arguments.sample, "slow": arguments.slow_sample},
        mutmut=version("mutmut"),
        tests=settings["pytest_add_cli_args_test_selection"],
        survivors=survivors
        | {name: change for name, change in kept["survivors"].items() if name.rpartition(".")[0] not in modules},
    )


def _mutmut(*words: str, check: bool = True) -> str:
    # What a test starts in a process of its own has to import the mutants too.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(MADE.resolve()), str(Path.cwd())))}
    done = subprocess.run([*MUTMUT, *words], env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(
            f"mutmut {words[0]} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def _files(patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from (str(path) for path in Path().glob(pattern))


def _drawn(path: str, count: int, seed: int) -> list[str]:
    """Names of mutants of a file, a seeded sample."""
    names = re.findall(r"^\s*def (x\S*__mutmut_\d+)\(", (MADE / path).read_text("utf-8"), flags=re.MULTILINE)
    return [f"{_module(path)}.{name}" for name in sorted(random.Random(seed).sample(names, min(count, len(names))))]  # noqa: S311


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _status() -> dict[str, str]:
    """What became of each mutant, by its name."""
    lines = _mutmut("results", "--all", "true").splitlines()
    return dict(line.strip().split(": ", 1) for line in lines if ": " in line)


def _row(path: str, names: Sequence[str], status: dict[str, str]) -> dict[str, Any]:
    counts = Counter(status.get(name, "not checked") for name in names)
    tried = len(names) - counts["not checked"]
    killed = sum(counts[word] for word in _KILLED)
    return {
        "file": path,
        "tried": tried,
        "killed": killed,
        "timeout": counts["timeout"],
        "survived": counts["survived"],
        "no test": counts["no tests"],
        "score": round(killed / judged, 3) if (judged := tried - counts["timeout"]) else None,
    }


def _change(name: str) -> list[str]:
    """The lines that a mutant takes away and adds."""
    lines = _mutmut("show", name, check=False).splitlines()
    return [line for line in lines if re.match(r"[-+](?![-+])", line)]
