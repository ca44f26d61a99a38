"""Several clients ask the service for everything it answers while runs are published.

Every answer must be that of the one run which it names: an answer put together from two runs equals none.
`python -m tests.soak.service STATE SECONDS [CONFIG]` does it once, on the demo or on another deployment.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.serve.query_answers import recommend_table
from recall.serve.questions import RecommendRequest
from recall.serve.recommender import Recommender
from recall.service import answering
from recall.service.questions import ExplainRequest, ScoreRequest, SimilarRequest
from recall.service.routes import as_json
from tests.recall.service.making import Served
from tests.soak.deployments import Deployment
from tests.soak.journal import Journal
from tests.soak.memory import growth
from tests.soak.readers import make_runs, publish_copy

SECONDS = float(os.environ.get("GRAPHRECALL_SOAK_SECONDS", 3600))
TOLERANCE_MB = 40.0
"""How far the memory of all processes together may rise from the middle third of the time to the last one."""
PUBLISH_SECONDS = 600.0
"""How long a run may take to serve: clients and checks use the same cores, and the machine may have other work."""
USERS, NEW_USERS, K = 40, 25, 10
CONFIG = "\n[service]\nworkers = 2\nreload_every = 0.5\n[service.limits]\nseconds = 120.0\n"
SHARES = {"recommend": 50, "explain": 15, "similar": 15, "score": 12, "feedback": 8}  # of the requests, in percent

Question = tuple[str, dict[str, Any]]


def mixed_load(
    made: Sequence[RunLayout], config: Path, state: Path, *, seconds: float, clients: int = 4, every: float = 60.0
) -> Journal:
    """Ask, give feedback and publish for some time.

    Args:
        made: finished runs of different data, elsewhere; copies of them are published in turn.
        config: of the deployment; the service has a section of its own.
        state: folder of the journal.
        seconds: how long.
        clients: that ask at once, each one question after the other.
        every: seconds between two publishes; a fifth of the time where that is less.
    """
    journal = Journal(state / "service.jsonl")
    runs = RunsFolder(state / "asked")
    shutil.rmtree(runs.path, ignore_errors=True)
    recommenders = {run.manifest()["fingerprint"]: Recommender.load(run.path) for run in made}
    questions = questions_about(*ids_of_all(list(recommenders.values())))
    answers = {
        name: [expected(recommender, question) for question in questions] for name, recommender in recommenders.items()
    }
    assert len({json.dumps(given) for given in answers.values()}) == len(made), "two runs answer alike"
    publish_copy(runs, made[0], 0)
    of_service = state / "service.toml"
    of_service.write_text(config.read_text() + CONFIG)
    load = Load(runs, questions, answers)
    memory: list[float] = []
    mapped: list[int] = []
    with Served(runs.path, state / "service.log", ["--config", str(of_service)]) as service:
        start, published = time.monotonic(), 0
        pause = min(every, seconds / 5)
        with load.asking(service.address, clients):
            while time.monotonic() + pause <= start + seconds + 1:
                time.sleep(pause / 2)
                memory.append(megabytes(service.process.pid))
                mapped.append(len(mapped_runs(service.process.pid, runs.path)))
                time.sleep(pause / 2)
                published += 1
                publish_copy(runs, made[published % len(made)], published)
                service.wait_for("ready", published + 1, seconds=PUBLISH_SECONDS)
            memory.append(megabytes(service.process.pid))
            took = time.monotonic() - start
        errors = [str(entry["message"]) for entry in service.log() if entry["level"] in ("error", "critical")]
    journal.add(
        kind="mixed load",
        seconds=round(took),
        clients=clients,
        published=published,
        asked=dict(load.asked),
        runs_seen=len(load.runs),
        p50_ms={name: 1000 * float(np.quantile(waits, 0.5)) for name, waits in load.waits.items()},
        p99_ms={name: 1000 * float(np.quantile(waits, 0.99)) for name, waits in load.waits.items()},
        megabytes=[round(value, 1) for value in memory],
        growth=round(growth(memory), 1),
        runs_mapped=max(mapped, default=0),
        problems=[*load.problems[:20], *errors[:20]],
    )
    return journal


@dataclass
class Load:
    """What the clients share.

    Attributes:
        folder: of the runs.
        questions: that are asked.
        answers: of each run's content, by fingerprint: what it answers to each of the same questions, in their order.
        stop: set at the end.
        asked: how often, by kind.
        waits: seconds of the answers, by kind.
        runs: that answered.
        problems: errors, and answers that are not those of their run.
    """

    folder: RunsFolder
    questions: Sequence[Question]
    answers: Mapping[str, Sequence[Any]]
    stop: threading.Event = field(default_factory=threading.Event)
    asked: Counter[str] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    runs: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def asking(self, address: str, clients: int) -> Iterator[None]:
        """Clients ask while the block runs, and have ended when it is left, also by an error."""
        threads = [threading.Thread(target=self.ask, args=(address, number)) for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def ask(self, address: str, number: int) -> None:
        """One client: asks without pause until the end."""
        random = np.random.default_rng(number)
        kinds, shares = list(SHARES), np.array(list(SHARES.values())) / 100
        with httpx.Client(base_url=address, timeout=180) as client:
            while not self.stop.is_set():
                kind = kinds[int(random.choice(len(kinds), p=shares))]
                try:
                    if kind == "feedback":
                        self._give_feedback(client, f"new-{number}-{int(random.integers(NEW_USERS))}", random)
                    else:
                        places = [at for at, (name, _) in enumerate(self.questions) if name == kind]
                        at = places[int(random.integers(len(places)))]
                        self._compare(kind, at, self._post(client, kind, self.questions[at][1]))
                except Exception as error:
                    self.problems.append(f"client {number}, {kind}: {type(error).__name__}: {error}")
                self.asked[kind] += 1

    def _post(self, client: httpx.Client, kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        response = client.post(f"/{kind}", json=body)
        self.waits[kind].append(time.perf_counter() - start)
        assert response.status_code == 200, f"{response.status_code} {response.text:.300}"
        reply: dict[str, Any] = response.json()
        self.runs.add(reply["run"])
        return reply

    def _compare(self, kind: str, at: int, reply: dict[str, Any]) -> None:
        run = reply.pop("run")
        if run not in self._fingerprints:
            self._fingerprints[run] = RunLayout(self.folder.path / run).manifest()["fingerprint"]
        if reply != self.answers[self._fingerprints[run]][at]:
            self.problems.append(f"{kind}: an answer of {run} is not its own: {reply!s:.300}")

    def _give_feedback(self, client: httpx.Client, user: str, random: np.random.Generator) -> None:
        """What somebody liked, in whatever worker, is in the next answer of every other: it leaves the candidates."""
        before = self._post(client, "recommend", {"queries": [{"user_id": user}], "k": K, "on_unknown": "popular"})
        rows = before["answers"][0]["candidates"]
        if not rows:
            return  # they like everything
        item = rows[int(random.integers(len(rows)))]["item_id"]
        self._post(client, "feedback", {"events": [{"user_id": user, "item_id": item, "kind": "like"}]})
        after = self._post(client, "recommend", {"queries": [{"user_id": user}], "k": K, "on_unknown": "popular"})
        if item in [row["item_id"] for row in after["answers"][0]["candidates"]]:
            self.problems.append(f"feedback: {user} likes {item}, which is a candidate still")


def questions_about(users: Sequence[str], items: Sequence[str]) -> list[Question]:
    """One of each kind about every user and item."""
    questions: list[Question] = []
    for user, item in zip(users, items, strict=False):
        rules = {"diversity": 0.3, "long_tail": 0.2} if len(questions) % 8 else {}
        questions += [
            ("recommend", {"queries": [{"user_id": user}, {"liked": [item]}], "k": K, **rules}),
            ("explain", {"user_id": user, "item_ids": [item]}),
            ("similar", {"item_ids": [item], "k": K}),
            ("score", {"pairs": [{"user_id": user, "item_id": item}]}),
        ]
    return questions


def ids_of_all(recommenders: Sequence[Recommender]) -> tuple[list[str], list[str]]:
    """Users and items that all of some runs have."""
    users = set.intersection(*({*each.graph.users.ids.to_pylist()} for each in recommenders))
    items = set.intersection(*({*each.graph.items.ids.to_pylist()} for each in recommenders))
    return sorted(users)[:USERS], sorted(items)[:USERS]


def expected(recommender: Recommender, question: Question) -> dict[str, Any]:
    """What a run answers to a question, without its name."""
    kind, body = question
    if kind == "recommend":
        request = RecommendRequest.model_validate(body)
        reply = answering.recommend_reply(recommender, request, recommend_table(recommender, request))
    elif kind == "explain":
        reply = answering.explain(recommender, ExplainRequest.model_validate(body))
    elif kind == "similar":
        reply = answering.similar(recommender, SimilarRequest.model_validate(body))
    else:
        reply = answering.score(recommender, ScoreRequest.model_validate(body))
    written: dict[str, Any] = json.loads(as_json(reply))
    del written["run"]
    return written


def megabytes(process: int) -> float:
    """MB of a service and all its processes together, what they share counted once.

    Without the files that they map: those are in memory for as long as the system likes, and shared with others.
    """
    kilobytes = 0
    for each in family(process):
        with suppress(OSError):  # it has ended
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    kilobytes += int(line.split()[1])
    return kilobytes * 1024 / 1e6


def mapped_runs(process: int, runs: Path) -> set[str]:
    """The runs of which a service or one of its processes maps files, removed ones, too."""
    names: set[str] = set()
    for each in family(process):
        with suppress(OSError):
            maps = Path(f"/proc/{each}/maps").read_text()
            names |= set(re.findall(re.escape(str(runs.resolve())) + r"/\.?([^/\s]+)/", maps))
    return names


def family(process: int) -> list[int]:
    """A process and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        return [process, *(child.pid for child in psutil.Process(process).children(recursive=True))]
    return []


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    of = Deployment(Path(sys.argv[3])) if len(sys.argv) > 3 else Deployment.demo(folder / "served")
    done = mixed_load(make_runs(of, 3), of.config, folder, seconds=float(sys.argv[2])).lines[-1]
    print(json.dumps(done, indent=1))  # noqa: T201
