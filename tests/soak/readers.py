"""Processes ask without pause while runs are published, rolled back and pruned.

Every answer must be, to the last digit, that of the one run which the recommender says it was loaded from: an answer
put together from two runs equals none.
`python -m tests.soak.readers RUNS WAY NUMBER OUT` is one of the readers; it ends when its standard input does.
"""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kg.io.files import write_json
from recall.config.deployment import load_config
from recall.jobs.decide import rollback
from recall.jobs.refresh import refresh
from recall.jobs.schedule import refresh_command
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.serve.recommender import Recommender
from recall.serve.watch import RunWatch
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal

WAYS = ("watch", "watch", "watch", "reload", "reload", "load", "load", "unverified")
ANSWERS = "answers.json"
USERS, K = 3, 10


def ask(recommender: Recommender, *, every_way: bool = False) -> list[Any]:
    """What a run answers: candidates with their scores; `every_way`: items like one, reasons and Cypher, too."""
    users = sorted(recommender.graph.users.ids.to_pylist())[:USERS]
    table = recommender.recommend(users, k=K).table
    answer = [table["user_id"].to_pylist(), table["item_id"].to_pylist(), table["score"].to_pylist()]
    if every_way:
        item = answer[1][0]
        answer.append(recommender.similar([item], k=5).table["similar_id"].to_pylist())
        answer.append([one.score for one in recommender.explain([(users[0], item)])])
        answer.append(recommender.cypher("MATCH (u:User)-[r]->(m) RETURN count(r) AS n"))
    return answer


def make_runs(deployment: Deployment, number: int) -> list[RunLayout]:
    """Runs of changing data, copied out of the runs folder."""
    made = []
    for place in range(number):
        copy = deployment.folder / f"made-{place}"
        if not copy.exists():
            run = refresh(load_config(deployment.config)).run
            assert run is not None
            shutil.copytree(run.path, copy)
            deployment.change(np.random.default_rng(place))
        made.append(RunLayout(copy))
    return made


def prepare_answers(made: Sequence[RunLayout], state: Path) -> None:
    """Keep what each of some runs answers, by its fingerprint."""
    answers = {}
    for run in made:
        recommender = Recommender.load(run.path)
        answers[run.manifest()["fingerprint"]] = [ask(recommender), ask(recommender, every_way=True)]
    write_json(state / ANSWERS, answers)
    assert len({json.dumps(one[0]) for one in answers.values()}) == len(made), "two runs answer alike"


def publish_copy(runs: RunsFolder, source: RunLayout, number: int) -> None:
    """Publish a copy of a finished run, and keep the one before it."""
    with runs.lock():
        staged = runs.staging(f"{number:064x}") / "run"
        shutil.copytree(source.path, staged)
        runs.publish(staged, fingerprint=source.manifest()["fingerprint"])
        runs.prune(2)


def publish_among_readers(
    made: Sequence[RunLayout],
    runs: RunsFolder,
    state: Path,
    *,
    times: int,
    pause: float,
    ways: Sequence[str] = WAYS,
    building: Path | None = None,
    seed: int = 0,
) -> Journal:
    """Publish and roll back among readers, so many times.

    What a request takes is told apart: "quiet", while nothing happens; "building", while a refresh of another runs
    folder is at work on the same machine; "busy", while finished runs are published and rolled back, which takes hardly
    more of the machine than the first. Each reader asks without pause, so that all of them together fill the machine.

    Args:
        made: finished runs of different data, elsewhere; copies of them are published.
        runs: where; it may be empty.
        state: folder of the journal.
        times: publishes and rollbacks together.
        pause: seconds between two; as long a time of the same number of pauses without any comes first.
        ways: how each reader comes to the newest run.
        building: the config of a deployment to refresh in full meanwhile, before anything is published.
        seed: of what is done.
    """
    journal = Journal(state / "readers.jsonl")
    prepare_answers(made, state)
    random = np.random.default_rng(seed)

    publish_copy(runs, made[0], 0)
    readers = []
    for number, way in enumerate(ways):
        command = [sys.executable, "-m", "tests.soak.readers", str(runs.path), way, str(number), str(state)]
        readers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "asking\n"
    begun = {"quiet": time.time()}
    time.sleep(pause * min(times, 50))
    if building is not None:
        begun["building"] = time.time()
        subprocess.run(refresh_command([str(building), "--full"]), check=True, capture_output=True)
    begun["busy"] = time.time()
    published, rolled_back = 0, 0
    for number in range(1, times + 1):
        if len(runs.runs()) > 1 and random.random() < 0.4:
            names = [run.name for run in runs.runs() if run != runs.current()]
            rollback(runs.path, to=names[int(random.integers(len(names)))], by="soak")
            rolled_back += 1
        else:
            publish_copy(runs, made[number % len(made)], number)
            published += 1
        time.sleep(pause)
    end = time.time()
    ends = [*list(begun.values())[1:], end]
    waits: dict[str, list[float]] = {phase: [] for phase in begun}
    asked, seen, problems = 0, set(), []
    for number, reader in enumerate(readers):
        reader.communicate("")
        if reader.returncode:
            problems.append(f"reader {number} ({ways[number]}) ended with {reader.returncode}")
            continue
        outcome = json.loads((state / f"reader-{number}.json").read_text())
        asked += outcome["asked"]
        seen |= set(outcome["runs"])
        problems += outcome["problems"]
        for at, seconds in outcome["waits"]:
            for (phase, start), stop in zip(begun.items(), ends, strict=True):
                if start <= at and at + seconds < stop:
                    waits[phase].append(seconds)
    p99 = {phase: 1000 * float(np.quantile(some, 0.99)) for phase, some in waits.items() if some}
    p50 = {phase: 1000 * float(np.quantile(some, 0.5)) for phase, some in waits.items() if some}
    journal.add(
        kind="readers",
        readers=len(readers),
        published=published,
        rolled_back=rolled_back,
        asked=asked,
        runs_seen=len(seen),
        seconds={phase: round(stop - start, 1) for (phase, start), stop in zip(begun.items(), ends, strict=True)},
        p50_ms=p50,
        p99_ms=p99,
        left=len(runs.runs()),
        problems=problems[:20],
    )
    return journal


def _read(link: Path, way: str, number: int, out: Path) -> None:
    """Ask until the standard input ends; keep what came of it."""
    answers = json.loads((out / ANSWERS).read_text())
    waits: list[tuple[float, float]] = []
    problems: list[str] = []
    runs: set[str] = set()
    recommender = Recommender.load(link)
    run_watch = RunWatch(link, every=0.05) if way == "watch" else None
    newest: dict[str, Callable[[], Recommender]] = {
        "watch": lambda: recommender if run_watch is None else run_watch.recommender,
        "reload": lambda: recommender.reload(),
        "load": lambda: Recommender.load(link),
        "unverified": lambda: Recommender.load(link, verify=False),
    }
    print("asking", flush=True)  # noqa: T201
    asked = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            # New ones are taken between requests, so that a request's time is that of its answer.
            if way in ("watch", "reload") or asked % 20 == 0:
                recommender = newest[way]()
            thorough = asked % 25 == 24
            start, now = time.perf_counter(), time.time()
            answer = ask(recommender, every_way=thorough)
            if not thorough:
                waits.append((now, time.perf_counter() - start))
            assert recommender.run is not None
            runs.add(recommender.run.name)
            fingerprint = recommender.run.manifest()["fingerprint"]
            if json.loads(json.dumps(answer)) != answers[fingerprint][thorough]:
                problems.append(
                    f"reader {number} ({way}): an answer of {recommender.run.name} is not its own: {answer}"
                )
        except Exception as error:
            problems.append(f"reader {number} ({way}): {type(error).__name__}: {error}")
        asked += 1
    if run_watch is not None:
        run_watch.close()
    facts = {"asked": asked, "runs": sorted(runs), "waits": waits, "problems": problems}
    (out / f"reader-{number}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    _read(Path(sys.argv[1]) / "current", sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
