"""Do weights of the walk for groups of users pay: for those with few likes and those with many?

The settings of the walk, and the weights of all, are chosen on the validation part as in `walk`. Then weights are found
on each half of the validation users alone, parted at the median of their likes, and used for the users of the test
whose likes are as many. The difference is paired by user.

    python -m benchmarks walk_groups --data DIR [--only DATA ...] [--trials 40]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import record
from benchmarks.walk import BOOKS, MOVIES, PROBLEMS, Problem, encoded, walked
from gnn.evaluation.metrics import bootstrap_interval
from gnn.evaluation.validation import Validation
from kg import RaggedArray
from kg.arrays import IntArray
from kg.history import InteractionHistory
from recall.channels.walk import Walk, WalkConfig

NAME = "walk_groups"


def main(argv: Sequence[str]) -> None:
    """Measure what is asked for and write `results/walk_groups.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks walk_groups", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with book-crossing/")
    parser.add_argument("--only", nargs="*", choices=list(PROBLEMS), default=[MOVIES, BOOKS])
    parser.add_argument("--trials", type=int, default=40, help="changes of settings that the walk tries on validation")
    arguments = parser.parse_args(argv)
    problems = [PROBLEMS[name](arguments.data, encoded) for name in arguments.only]
    rows = [row for problem in problems for row in compared(problem, trials=arguments.trials)]
    data = {name: digest for problem in problems for name, digest in problem.data.items()}
    record(NAME, rows, data=data, trials=arguments.trials, notes=(__doc__ or "").strip())


def compared(problem: Problem, *, trials: int) -> list[dict[str, Any]]:
    """A row for each group of users and one for all: metrics with the weights of all, and what own weights change."""
    everybody = walked(problem, WalkConfig(trials=trials))
    config = everybody.config.changed(trials=0, weights=None)
    likes = InteractionHistory.of(problem.first).liked.counts
    able = np.flatnonzero((problem.chosen_on.truth.counts > 0) & (likes > 0))
    median = float(np.median(likes[able]))
    tested = InteractionHistory.of(problem.final).liked.counts[problem.test.user]
    common = problem.values({Walk.name: everybody})
    own = {metric: values.copy() for metric, values in common.items()}
    rows: list[dict[str, Any]] = []
    groups = {
        f"at most {median:g} likes": (likes[able] <= median, tested <= median),
        f"more than {median:g} likes": (likes[able] > median, tested > median),
    }
    for group, (chosen_on, asked) in groups.items():
        if not chosen_on.any() or not asked.any():
            continue
        walk = walked(replace(problem, chosen_on=_only(problem.chosen_on, able[chosen_on])), config)
        values = problem.values({Walk.name: walk})
        for metric in problem.metrics:
            own[metric][asked] = values[metric][asked]
        rows.append(_row(problem, group, common, own, asked, chosen_on=int(chosen_on.sum()), strengths=walk.strengths))
    rows.append(_row(problem, "all", common, own, np.ones(len(tested), dtype=bool), strengths=everybody.strengths))
    return rows


def _row(problem: Problem, group: str, common: Any, own: Any, users: Any, **facts: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"data": problem.name, "group": group, "k": problem.k, "users": int(users.sum())}
    for metric in problem.metrics:
        difference = own[metric][users] - common[metric][users]
        row[metric] = float(common[metric][users].mean())
        row[f"{metric} difference"] = float(difference.mean())
        row[f"{metric} difference interval"] = list(bootstrap_interval(difference))
    return {**row, **facts}


def _only(validation: Validation, users: IntArray) -> Validation:
    """The validation part with something to find for some users only."""
    kept = np.isin(validation.truth.rows(), users)
    truth = RaggedArray.from_pairs(
        validation.truth.rows()[kept], validation.truth.values[kept], num_rows=len(validation.truth)
    )
    return replace(validation, truth=truth)
