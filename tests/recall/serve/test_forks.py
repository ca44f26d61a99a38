"""Processes that are forked off after their parent has answered."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from recall.jobs.refresh import RefreshResult

SCRIPT = """
import multiprocessing, sys
from recall import Recommender

rec = Recommender.load(sys.argv[1])
users, items = rec.graph.users.ids.to_pylist(), rec.graph.items.ids.to_pylist()
requests = {
    "users": lambda: len(rec.recommend(users, k=5)),
    "similar": lambda: len(rec.similar(items[:5], k=5)),
    "text": lambda: len(rec.recommend_for(text="The night of the river", k=5)),
    "explain": lambda: len(rec.explain([(users[0], items[0])])),
    "cypher": lambda: rec.cypher("MATCH (n) RETURN count(n) AS n"),
}
answers = {name: ask() for name, ask in requests.items()}
context = multiprocessing.get_context("fork")

def work(name, queue):
    queue.put(requests[name]())

for name in requests:
    queue = context.Queue()
    child = context.Process(target=work, args=(name, queue))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        sys.exit(f"{name}: a forked process hangs")
    if child.exitcode or queue.get() != answers[name]:
        sys.exit(f"{name}: a forked process gives no answer, or another")
"""


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no thread pools")
def test_a_process_that_is_forked_after_answers_answers(refreshed: RefreshResult) -> None:
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(refreshed.run.path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
