"""Seconds of training until the best validation: SASRec here, and RecTools' in an environment of its own.

Both learn from the training part of Beauty with the same settings, where both have them, on the same threads, one after
the other, and are measured on the validation item of every user, all items ranked but those of the training. RecTools
is asked after each epoch, which its seconds do not count; ours count their validations on a sample. RecTools trains for
as long as ours did, times `--patience`.

    python -m benchmarks sequence_peer --data DIR [--threads 1] [--patience 3]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import sequences, walk
from benchmarks.peer_environment import HERE, environment, run_peer
from benchmarks.results import record
from gnn.evaluation.metrics import per_user_metrics
from gnn.training.context import RunContext
from kg.arrays import IntArray, places
from recall.channels import SASRecChannel
from recall.contracts import FitData, Query

NAME, PEER = "sequence_peer", "rectools"
K = 20
LEARNING_RATE = 0.001
"""Of the peer: its own default. Ours begins four times as high and falls to zero, which RecTools has no setting for."""
_BLOCK = 4096  # users who are asked at a time


def ours(problem: walk.Problem) -> dict[str, Any]:
    """The row of SASRec by ids as `sequences` trains it, trained afresh."""
    log: list[Mapping[str, Any]] = []
    context = RunContext(device="cpu", seed=0, on_validation=lambda entries: log.append(entries[-1]))
    _, config = sequences.MODELS["sasrec"]
    channel = SASRecChannel(config.changed(item_parts=("id",)))
    channel.fit(FitData.of(problem.first, validation=problem.chosen_on, context=context))
    best = max(log, key=lambda entry: entry[f"ndcg@{K}"])
    group = problem.tuning
    queries = Query.of_users(group.user, problem.first.users, seen=group.seen)
    return {
        "model": "graphrecall SASRec",
        "seconds": best["seconds"],
        "steps": best["step"],
        **means(problem, sequences.best_items(channel, queries, k=K, block=_BLOCK)),
    }


def peer(problem: walk.Problem, *, seconds: float, threads: int) -> list[dict[str, Any]]:
    """A row for each epoch of RecTools' SASRec."""
    config = sequences.MODELS["sasrec"][1]
    training, group = config.training, problem.tuning
    history = FitData.of(problem.first).history
    liked = history.in_order(np.arange(history.num_users))
    rows = []
    with tempfile.TemporaryDirectory(prefix="graphrecall-peer-") as name:
        folder = Path(name)
        (folder / "out").mkdir()
        users = liked.rows()
        np.savez(
            folder / "given.npz",
            user=users,
            item=liked.values,
            order=places(users),
            asked=group.user.astype(np.int64),
        )
        run_peer(
            environment(PEER),
            "rectools_sasrec.py",
            folder,
            threads=threads,
            interactions=folder / "given.npz",
            out=folder / "out",
            seconds=seconds,
            seed=0,
            dim=config.dim,
            blocks=config.blocks,
            heads=config.heads,
            dropout=config.dropout,
            length=config.max_length,
            negatives=training.negatives,
            batch=training.batch_size,
            learning_rate=LEARNING_RATE,
            k=K,
        )
        for file in sorted((folder / "out").glob("*.npz")):
            with np.load(file) as stored:
                ranked = np.full((len(group), K), -1, dtype=np.int64)
                row_of = np.searchsorted(group.user, stored["user"])
                ranked[row_of, stored["rank"] - 1] = stored["item"]
                row = {"model": "RecTools SASRec", "seconds": float(stored["seconds"]), "epoch": int(stored["epoch"])}
            rows.append(row | means(problem, ranked))
    return rows


def means(problem: walk.Problem, ranked: IntArray) -> dict[str, float]:
    """Recall and NDCG on validation of ranked items, a row for each of its users."""
    values = per_user_metrics(ranked, problem.tuning.truth, K)
    return {f"{metric}@{K}": float(values[metric].mean()) for metric in ("recall", "ndcg")}


def main(argv: Sequence[str]) -> None:
    """Train both and keep the rows."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {NAME}", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with sequences/")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--patience", type=float, default=3.0)
    arguments = parser.parse_args(argv)
    problem = walk.PROBLEMS[walk.BEAUTY](arguments.data, lambda _graph: None)
    environment(PEER)  # before anything is measured
    own = ours(problem)
    epochs = peer(problem, seconds=own["seconds"] * arguments.patience, threads=arguments.threads)
    record(
        NAME,
        [own, max(epochs, key=lambda row: row[f"ndcg@{K}"])],
        curve=epochs,
        threads=arguments.threads,
        patience=arguments.patience,
        data=problem.data,
        requirements=(HERE / f"{PEER}.txt").read_text().splitlines(),
        notes=(__doc__ or "").strip(),
    )
