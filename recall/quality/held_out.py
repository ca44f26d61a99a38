"""The same requests for two runs: held-out items that the evaluation model of neither has seen, of common users.

All positions are those of the new run's graph. Items that only one of the two graphs has are neither expected nor
ranked, so that the two runs differ only in what they answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn.evaluation.held_out import Group
from kg import KnowledgeGraph, RaggedArray, Split
from kg.arrays import IntArray
from kg.interactions import Interactions
from kg.io.graph_folder import load_graph
from kg.splits import PartName
from recall.pipeline import Pipeline
from recall.quality.assess import read_split
from recall.quality.measure import rank_group
from recall.runs.layout import RunLayout
from recall.serve.loading import load_evaluation_pipeline

KNOWN: tuple[PartName, ...] = ("train", "valid")


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Who is asked, and which items are held out.

    Attributes:
        user: positions, int64 (n,).
        seen: items that must not be shown, (n,) lists.
        truth: items to be found, (n,) lists; empty ones where only the lists themselves are compared.
    """

    user: IntArray
    seen: RaggedArray
    truth: RaggedArray

    def __len__(self) -> int:
        return len(self.user)


class RunData:
    """What is read of a run to judge it."""

    def __init__(self, run: RunLayout) -> None:
        self.run = run
        self.graph: KnowledgeGraph = load_graph(run.graph, verify=False)
        self.split: Split = read_split(run.split, self.graph)

    @cached_property
    def view(self) -> KnowledgeGraph:
        """The graph that the evaluation model was trained on."""
        return self.split.view(self.graph, "train")

    def evaluation_pipeline(self) -> Pipeline:
        """What would serve if the training part were all there is."""
        return load_evaluation_pipeline(self.run, self.view)


class Common:
    """The users and items that a new run and the one that serves have in common; all of them for a first run.

    Attributes:
        users, items: new position -> old position, -1 for what the old run does not know, int64.
    """

    def __init__(self, new: RunData, old: RunData | None) -> None:
        self.new = new
        self.old = old
        graph = new.graph
        if old is None:
            self.users, self.items = np.arange(len(graph.users)), np.arange(len(graph.items))
        else:
            self.users = old.graph.users.index(graph.users.ids, missing="negative")
            self.items = old.graph.items.index(graph.items.ids, missing="negative")

    def held_out(self, limit: int) -> Questions:
        """Users with training in both runs and something liked that is in the new test part and new to both models.

        What the old run held out may be in the new one's training, and the other way round: that is asked of nobody.

        Args:
            limit: users, at most; a seeded choice.
        """
        new, old = self.new, self.old
        everything = new.graph.interactions
        test = everything.select(new.split.mask("test") & everything.positive)
        seen = self._pairs(everything.select(new.split.mask(*KNOWN)))
        warm = self._liked(everything.select(new.split.mask("train")))
        if old is not None:
            before = old.graph.interactions
            seen = seen.union(self._pairs_of_old(before.select(old.split.mask(*KNOWN))))
            warm &= self._liked_of_old(before.select(old.split.mask("train")))
        wanted = self._pairs(test).without(seen)
        return self._questions(warm & (wanted.counts > 0), seen, wanted, limit)

    def served(self, limit: int) -> Questions:
        """Users who liked something in both runs; what they touched in either is not shown.

        Args:
            limit: users, at most; a seeded choice.
        """
        interactions = self.new.graph.interactions
        seen = self._pairs(interactions)
        warm = self._liked(interactions)
        if self.old is not None:
            seen = seen.union(self._pairs_of_old(self.old.graph.interactions))
            warm &= self._liked_of_old(self.old.graph.interactions)
        return self._questions(warm, seen, RaggedArray.empty(len(seen)), limit)

    def rank(self, pipeline: Pipeline, questions: Questions, k: int, *, of: RunData) -> IntArray:
        """The best common items by the channels of a run, as new positions, -1 where there are fewer, int64 (n, k).

        Args:
            pipeline: of channels fitted on that run's graph, or on a view of it.
            questions: who is asked.
            k: how many items.
            of: the run.
        """
        of_old, graph = of is self.old, of.graph
        to = (self.users, self.items) if of_old else (np.arange(len(self.users)), np.arange(len(self.items)))
        shared = np.flatnonzero(self.items >= 0)
        group = Group(
            name="common",
            user=to[0][questions.user],
            in_training=True,
            history=RaggedArray.empty(len(questions)),
            seen=_renumbered(questions.seen, to[1]),
            truth=_renumbered(questions.truth, to[1]),
            candidates=None if len(shared) == len(graph.items) else np.sort(to[1][shared]),
        )
        ranked = rank_group(pipeline, group, k, graph=graph)
        if not of_old:
            return ranked
        back = np.full(len(graph.items) + 1, -1, dtype=np.int64)
        back[to[1][shared]] = shared
        result: IntArray = back[ranked]  # the last entry stands for no item
        return result

    @property
    def num_items(self) -> int:
        """Items that both know."""
        return int((self.items >= 0).sum())

    @property
    def num_users(self) -> int:
        """Users that both know."""
        return int((self.users >= 0).sum())

    def _questions(self, asked: npt.NDArray[np.bool_], seen: RaggedArray, wanted: RaggedArray, limit: int) -> Questions:
        users = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(asked))[:limit])
        return Questions(user=users, seen=seen.take(users), truth=wanted.take(users))

    def _pairs(self, some: Interactions) -> RaggedArray:
        common = (self.users[some.user] >= 0) & (self.items[some.item] >= 0)
        return RaggedArray.from_pairs(some.user[common], some.item[common], num_rows=len(self.users))

    def _pairs_of_old(self, some: Interactions) -> RaggedArray:
        users, items = self._back
        user, item = users[some.user], items[some.item]
        common = (user >= 0) & (item >= 0)
        return RaggedArray.from_pairs(user[common], item[common], num_rows=len(self.users))

    def _liked(self, some: Interactions) -> npt.NDArray[np.bool_]:
        mask = np.zeros(len(self.users), dtype=bool)
        mask[some.user[some.positive]] = True
        return mask & (self.users >= 0)

    def _liked_of_old(self, some: Interactions) -> npt.NDArray[np.bool_]:
        mask = np.zeros(len(self.users), dtype=bool)
        user = self._back[0][some.user[some.positive]]
        mask[user[user >= 0]] = True
        return mask

    @cached_property
    def _back(self) -> tuple[IntArray, IntArray]:
        """Old position -> new position of users and of items, -1 for what the new run does not know."""
        graph: Any = None if self.old is None else self.old.graph
        return _inverse(self.users, len(graph.users)), _inverse(self.items, len(graph.items))


def _inverse(to: IntArray, size: int) -> IntArray:
    back = np.full(size, -1, dtype=np.int64)
    there = np.flatnonzero(to >= 0)
    back[to[there]] = there
    return back


def _renumbered(lists: RaggedArray, to: IntArray) -> RaggedArray:
    return RaggedArray.from_pairs(lists.rows(), to[lists.values], num_rows=len(lists))
