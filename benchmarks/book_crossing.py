"""Book-Crossing with its knowledge graph, by the protocol of CKAN, and top-20 lists over all items on the same split.

The labelled pairs are split 6:2:2 at random, with each seed anew; nothing is fitted on more than the first part, as in
the papers. Settings are chosen on the second part (of the first seed) by NDCG@20, the third is read once.

- Top-20: all 14,967 items are ranked, those left out that the user likes in the first two parts.
- Labelled pairs: the area under the ROC curve, and F1 at a probability of one half after a logistic calibration of the
  score on the second part. "auc with popularity" calibrates the score and the logarithm of the item's likes together,
  so that a channel that knows nothing of most items is not measured by its ties.

"labels left" is no model: it shows how much of the area the split gives away. Half of each user's pairs are positives,
so that the labels in the first part tell something of those in the third, whatever the items.

Users without a positive in the first part are ranked by popularity alone, whatever the model, and reported apart; CKAN
drops their pairs. The sampled negatives of the first part train nothing.

    python -m benchmarks book_crossing --data DIR [--only MODEL ...] [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ablations import shuffled
from benchmarks.book_crossing_data import FOLDER, Pairs, around_items, book_crossing, checksums
from benchmarks.calibration import Logistic
from benchmarks.fusing import chosen_weights, slug, told, weighed_walk
from benchmarks.pair_metrics import auc, auc_draws, f1_score, user_means
from benchmarks.results import FOLDER as RESULTS
from benchmarks.results import record
from gnn.evaluation.held_out import Group, warm_group
from gnn.evaluation.metrics import Values, bootstrap_interval
from gnn.evaluation.validation import Validation
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import KnowledgeGraph, RaggedArray, Split
from kg.arrays import IntArray
from kg.io.files import read_json
from kg.splits import TEST, TRAIN, VALID
from recall.channels import (
    EASE,
    AttributeKNN,
    AttributeKNNConfig,
    EASEConfig,
    ItemKNN,
    ItemKNNConfig,
    Popularity,
    RP3Beta,
    RP3BetaConfig,
    Spectral,
    SpectralConfig,
)
from recall.contracts import Channel, FitData, LoadData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.quality.assess import exact_channel
from recall.quality.measure import measure

_BLOCK = 512  # users whose scores of all items are held at a time
K = 20
RECALL, NDCG = f"recall@{K}", f"ndcg@{K}"
RANKING = (RECALL, NDCG)
LABELLED = ("auc", "auc with popularity")
DRAWS = 200
WITH, WITHOUT, ALL = "users with history", "users without history", "all users"
COUNTS = "labels left (no item)"
COLD, COLD_AMONG = "cold items", "cold items among themselves"
FULL = "heterogeneous"
WALK = "typed walk"
FUSED = "fused"
FUSED_OF = (FULL, WALK, "RP3beta", "attribute kNN", "popularity")
POPULARITY = (0.0, 0.05, 0.1, 0.15, 0.2)
UNLIKED = 1 / 3  # likes that an item without any counts as, under a logarithm

Make = Callable[[], Channel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model and how it is trained; found on the second part of the first seed.

    Attributes:
        model: the encoder.
        training: the loss; its `max_steps` are taken.
        shuffled: trained on rewired knowledge.
        popularity: rank by the cosine plus a multiple of the logarithm of an item's likes (`with_popularity`), the
            multiple chosen on the second part; otherwise by the plain dot product, as published.
    """

    model: LightGCNConfig
    training: TrainingConfig
    shuffled: bool = False
    popularity: bool = True


# Negatives drawn by popularity, without correction: the model learns what popularity does not explain, and the ranking
# adds popularity back. The batch's own edges are taken out: with 2.8 likes an item they would give the answer away.
# On validation (1,500 users, NDCG@20): popularity .065, as here .094, without the second pass .084 to .089, with the
# batch's edges .082, with two layers .082, with free embeddings of entities .089; the graph off .081 to .082.
SOFTMAX = TrainingConfig(
    negatives=512, negative_power=1.0, log_q=False, drop_batch_edges=True, cold_weight=0.3, max_steps=80
)
HETERO = LightGCNConfig(
    dim=128,
    layers=3,
    relations=("r0", "r1", "r2", "r3"),
    interaction_weight=0.3,
    text=False,
    user_embedding=False,
    knowledge_degree=1_000_000,
)
PLAIN = HETERO.changed(relations=())
MODELS = {
    FULL: Recipe(model=HETERO, training=SOFTMAX),
    "graph off (LightGCN, softmax)": Recipe(model=PLAIN, training=SOFTMAX),
    "graph shuffled": Recipe(model=HETERO, training=SOFTMAX, shuffled=True),
    "LightGCN, BPR": Recipe(
        model=PLAIN.changed(dim=64, user_embedding=True),
        training=TrainingConfig(loss="bpr", l2=1e-3, cold_weight=0.0, max_steps=200),
        popularity=False,
    ),
}


@dataclass(frozen=True)
class Part:
    """One seed's data: what is known, and who is asked for what."""

    graph: KnowledgeGraph
    likes: RaggedArray
    popularity: IntArray
    validation: Group
    groups: Sequence[Group]
    nobody: Group
    pairs: Pairs
    chosen_on: Validation

    @cached_property
    def data(self) -> LoadData:
        """What the channels of the part share."""
        return LoadData.of(self.graph)

    @property
    def fit_data(self) -> FitData:
        """What they are fitted on."""
        return FitData(graph=self.graph, history=self.data.history)

    @classmethod
    def of(cls, graph: KnowledgeGraph, split: Split, pairs: Pairs) -> Part:
        """From a split of the labelled pairs."""
        likes, valid, test = (split.positives(graph, name) for name in ("train", "valid", "test"))
        seen = split.seen(graph, "train", "valid")
        popularity = np.bincount(likes.values, minlength=len(graph.items))
        cold = _restrict(test, popularity == 0)
        with_history = likes.counts > 0
        among = np.flatnonzero(popularity == 0)
        return cls(
            graph=split.view(graph, "train"),
            likes=likes,
            popularity=popularity,
            validation=_group("validation", with_history, likes, valid),
            groups=(
                _group(WITH, with_history, seen, test),
                _group(COLD, with_history, seen, cold),
                _group(COLD_AMONG, with_history, seen, cold, candidates=among),
            ),
            nobody=_group(WITHOUT, ~with_history, seen, test),
            pairs=pairs,
            chosen_on=Validation(truth=valid, seen=likes),
        )


@dataclass
class Scores:
    """What one model reached on one group, an entry a seed."""

    users: list[IntArray] = field(default_factory=list)
    values: dict[str, list[Values]] = field(default_factory=dict)
    labelled: dict[str, list[float]] = field(default_factory=dict)
    draws: dict[str, list[Values]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    note: str = ""

    def of_users(self, metric: str) -> Values:
        """Each user's mean over the seeds whose test part has something of this user."""
        return user_means(self.users, self.values[metric])


class Table:
    """All scores by group and model."""

    def __init__(self) -> None:
        self.scores: dict[tuple[str, str], Scores] = {}

    def of(self, group: str, model: str, *, seconds: float | None = None, note: str = "") -> Scores:
        scores = self.scores.setdefault((group, model), Scores())
        if seconds is not None:
            scores.seconds.append(seconds)
        scores.note = note or scores.note
        return scores

    def rows(self) -> Iterator[dict[str, Any]]:
        for (group, model), scores in self.scores.items():
            row: dict[str, Any] = {"group": group, "model": model}
            if scores.users:
                row["users"] = len(np.unique(np.concatenate(scores.users)))
            for metric, values in scores.values.items():
                per_user = scores.of_users(metric)
                row |= _figure(metric, float(per_user.mean()), bootstrap_interval(per_user), [v.mean() for v in values])
            for metric, reached in scores.labelled.items():
                interval = _interval(np.mean(scores.draws[metric], axis=0)) if metric in scores.draws else None
                row |= _figure(metric, float(np.mean(reached)), interval, reached)
            row["seeds"] = len(scores.seconds)
            row["seconds"] = round(float(np.mean(scores.seconds)), 2)
            row["chosen"] = scores.note
            yield row

    def against(self, model: str) -> Iterator[dict[str, Any]]:
        """Paired differences of one model to all others, with intervals over users."""
        for (group, other), scores in self.scores.items():
            mine = self.scores.get((group, model))
            if mine is None or group == ALL or other in (model, COUNTS):
                continue
            row: dict[str, Any] = {"group": group, "model": f"{model} minus {other}"}
            for metric in scores.values:
                difference = mine.of_users(metric) - scores.of_users(metric)
                row |= _figure(metric, float(difference.mean()), bootstrap_interval(difference), [])
            for metric in scores.draws:
                difference = np.mean(mine.draws[metric], axis=0) - np.mean(scores.draws[metric], axis=0)
                mean = float(np.mean(mine.labelled[metric]) - np.mean(scores.labelled[metric]))
                row |= _figure(metric, mean, _interval(difference), [])
            yield row


def baselines() -> dict[str, list[tuple[str, Make]]]:
    """The settings that validation chooses from, by baseline."""
    return {
        "popularity": [("", Popularity)],
        "item-kNN": [
            (f"{n} neighbours, shrinkage {s:g}", partial(ItemKNN, ItemKNNConfig(neighbours=n, shrinkage=s)))
            for n, s in product((500, 2000), (50.0, 200.0, 1000.0, 5000.0))
        ],
        "EASE": [(f"lambda {r:g}", partial(EASE, EASEConfig(regularisation=r))) for r in (100.0, 1000.0)],
        "RP3beta": [
            (f"alpha {a:g}, {n} neighbours", partial(RP3Beta, RP3BetaConfig(alpha=a, beta=0.0, neighbours=n)))
            for a, n in product((0.3, 0.5, 0.7), (800, 3000))
        ],
        "spectral filter (GF-CF)": [
            (f"{f} factors, alpha {a:g}", partial(Spectral, SpectralConfig(factors=f, alpha=a)))
            for f, a in product((8, 32), (1.0, 3.0, 10.0))
        ],
        "attribute kNN": [
            (f"{n} neighbours", partial(AttributeKNN, AttributeKNNConfig(neighbours=n))) for n in (100, 1000)
        ],
    }


def choose(options: Sequence[tuple[str, Make]], part: Part) -> tuple[str, Make]:
    """The option with the best NDCG@20 on the second part."""
    if len(options) == 1:
        return options[0]
    reached = [_ndcg([make().fit(part.fit_data)], part) for _, make in options]
    return options[int(np.argmax(reached))]


NAMES = (*baselines(), WALK, *MODELS, FUSED)


def fitted_baseline(option: tuple[str, Make], part: Part) -> tuple[str, Channel]:
    """A baseline under the setting that validation chose."""
    note, make = option
    return note, make().fit(part.fit_data)


def walked(part: Part) -> tuple[str, Channel]:
    """The typed walk, its weights found on the second part."""
    walk = weighed_walk("book-crossing", part.graph, part.chosen_on)
    return told(walk.strengths), walk


def train(recipe: Recipe, part: Part, *, seed: int) -> Embeddings:
    """Train one model on the first part."""
    graph = shuffled(part.graph, seed) if recipe.shuffled else part.graph
    training = recipe.training
    return fit(graph, recipe.model, training, steps=training.max_steps, beta=1.0, context=RunContext(seed=seed))


def with_popularity(embeddings: Embeddings, popularity: IntArray, weight: float) -> Embeddings:
    """The same vectors at unit length, and a column more: score = cosine + weight * ln(likes).

    Args:
        embeddings: trained vectors.
        popularity: likes of each item, int64 (items,); none count as a third of one.
        weight: of the logarithm; the model's temperature would be the weight of a calibrated softmax.
    """
    length = np.linalg.norm(embeddings.final, axis=1, keepdims=True)
    unit = np.divide(embeddings.final, length, out=np.zeros_like(embeddings.final), where=length > 0)
    column = np.ones((len(unit), 1), dtype=np.float32)
    column[embeddings.numbering.span(embeddings.item_type), 0] = weight * np.log(np.maximum(popularity, UNLIKED))
    scale = np.ones(len(popularity), dtype=np.float32)
    return replace(embeddings, final=np.hstack([unit, column]), item_scale=scale, linear=None)


def served(recipe: Recipe, part: Part, *, seed: int) -> tuple[str, Channel]:
    """A trained model behind its index, the weight of popularity chosen on the second part."""
    trained = train(recipe, part, seed=seed)
    note = f"{recipe.training.max_steps} steps"
    if not recipe.popularity:
        return note, exact_channel(trained, part.data)
    options = [(w, exact_channel(with_popularity(trained, part.popularity, w), part.data)) for w in POPULARITY]
    weight, channel = options[int(np.argmax([_ndcg([channel], part) for _, channel in options]))]
    return f"{note}, popularity {weight:g} (last seed)", channel


def fused(channels: Mapping[str, Channel], part: Part) -> tuple[str, Pipeline]:
    """Several channels, their weights chosen on the second part."""
    weights = chosen_weights(channels, part.graph, part.validation, k=K)
    return f"{told(weights)} (last seed)", Pipeline(channels, part.data.history, fusion=FusionConfig(weights=weights))


def pair_scores(pipeline: Pipeline, users: IntArray, items: IntArray, graph: KnowledgeGraph) -> Values:
    """A pipeline's scores of pairs, 0 where it has no evidence.

    Args:
        pipeline: of fitted channels.
        users: positions, int64 (n,).
        items: positions, int64 (n,).
        graph: the users' graph.

    Returns:
        float64 (n,).
    """
    who, row = np.unique(users, return_inverse=True)
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(who)))
    place = np.empty(len(row), dtype=np.int64)
    place[order] = np.arange(len(row)) - starts[row[order]]
    wanted = np.full((len(who), int(place.max(initial=0)) + 1), -1, dtype=np.int64)
    wanted[row, place] = items
    queries = Query.of_users(who, graph.users)
    scores = np.zeros(wanted.shape)
    for rows, block in queries.blocks(_BLOCK):
        scores[rows] = pipeline.score(block).at(wanted[rows])
    result: Values = scores[row, place]
    return result


def judge(table: Table, model: str, pipeline: Pipeline, part: Part, *, seconds: float, note: str) -> None:
    """Measure a pipeline on the test part, into the table."""
    fallback = _fallback(part)
    nobody = measure(fallback, [part.nobody], trained_on=part.graph, ks=(K,))[0]
    for evaluation in measure(pipeline, part.groups, trained_on=part.graph, ks=(K,)):
        by_group = {evaluation.group: (evaluation.user, evaluation.values)}
        if evaluation.group == WITH:
            joined = {metric: np.concatenate([evaluation.values[metric], nobody.values[metric]]) for metric in RANKING}
            by_group |= {WITHOUT: (nobody.user, nobody.values)} if model == "popularity" else {}
            by_group |= {ALL: (np.concatenate([evaluation.user, nobody.user]), joined)}
        for group, (user, values) in by_group.items():
            scores = table.of(group, model, seconds=seconds, note=note)
            scores.users.append(user)
            for metric in RANKING:
                scores.values.setdefault(metric, []).append(values[metric])
    for group, metric, labels, users, probability in _labelled(pipeline, part):
        if group == WITHOUT and model != "popularity":
            continue
        scores = table.of(group, model)
        scores.labelled.setdefault(metric, []).append(auc(labels, probability))
        scores.draws.setdefault(metric, []).append(auc_draws(users, labels, probability, draws=DRAWS))
        if metric == LABELLED[0]:
            scores.labelled.setdefault("f1", []).append(f1_score(labels, probability >= 0.5))


def _labelled(pipeline: Pipeline, part: Part) -> Iterator[tuple[str, str, npt.NDArray[np.bool_], IntArray, Values]]:
    """Group, metric, labels, users and calibrated probabilities of the labelled test pairs."""
    valid, test = part.pairs.of(VALID), part.pairs.of(TEST)
    ours = {name: part.likes.counts[pairs.user] > 0 for name, pairs in (("valid", valid), ("test", test))}
    likes = np.log(np.maximum(part.popularity, UNLIKED))
    lone = Logistic.fit(likes[valid.item[~ours["valid"]], None], valid.label[~ours["valid"]])
    chance = lone(likes[test.item[~ours["test"]], None])
    rest = test.select(~ours["test"])
    calibration, asked = valid.select(ours["valid"]), test.select(ours["test"])
    score, wanted = (pair_scores(pipeline, pairs.user, pairs.item, part.graph) for pairs in (calibration, asked))
    features = {
        LABELLED[0]: (score[:, None], wanted[:, None]),
        LABELLED[1]: (np.column_stack([score, likes[calibration.item]]), np.column_stack([wanted, likes[asked.item]])),
    }
    for metric, (before, after) in features.items():
        probability = Logistic.fit(before, calibration.label)(after)
        yield WITH, metric, asked.label, asked.user, probability
        yield WITHOUT, metric, rest.label, rest.user, chance
        yield (
            ALL,
            metric,
            np.concatenate([asked.label, rest.label]),
            np.concatenate([asked.user, rest.user]),
            np.concatenate([probability, chance]),
        )


def judge_counts(table: Table, part: Part) -> None:
    """What the split itself gives away: the labels that a user has in the first part, no item looked at.

    Half of each user's pairs are positives: the more of them the first part has, the fewer are left for the others. No
    model here is told how many that are.
    """
    first, valid, test = (part.pairs.of(number) for number in (TRAIN, VALID, TEST))
    left = np.bincount(first.user, weights=np.where(first.label, -1, 1), minlength=len(part.likes))
    probability = Logistic.fit(left[valid.user, None], valid.label)(left[test.user, None])
    for group, mask in ((WITH, part.likes.counts[test.user] > 0), (ALL, np.ones(len(test.user), dtype=bool))):
        scores = table.of(group, COUNTS, seconds=0.0)
        labels, users = test.label[mask], test.user[mask]
        scores.labelled.setdefault(LABELLED[0], []).append(auc(labels, probability[mask]))
        scores.draws.setdefault(LABELLED[0], []).append(auc_draws(users, labels, probability[mask], draws=DRAWS))


def run(data: Path, seeds: int, only: Collection[str], keep: Callable[[Table], Any]) -> Table:
    """Measure some of `NAMES`, seed by seed; `keep` is called with the table after each."""
    wanted = {*only, *FUSED_OF} if FUSED in only else {*only}
    source = book_crossing(data / FOLDER)
    near = replace(source, graph=around_items(source.graph))
    table = Table()
    chosen: dict[str, tuple[str, Make]] = {}
    for seed in range(seeds):
        part = Part.of(near.graph, *near.split(seed=seed))
        judge_counts(table, part)
        for name, options in baselines().items():
            if name in wanted and name not in chosen:
                chosen[name] = choose(options, part)
        ways: dict[str, Callable[[], tuple[str, Channel]]] = {
            **{name: partial(fitted_baseline, option, part) for name, option in chosen.items()},
            WALK: partial(walked, part),
            **{name: partial(served, recipe, part, seed=seed) for name, recipe in MODELS.items()},
        }
        fitted: dict[str, Channel] = {}
        for name, fit_channel in ways.items():
            if name not in wanted:
                continue
            start = time.perf_counter()
            note, fitted[name] = fit_channel()
            seconds = time.perf_counter() - start
            judge(table, name, Pipeline([fitted[name]], part.data.history), part, seconds=seconds, note=note)
        if FUSED in wanted:
            start = time.perf_counter()
            note, pipeline = fused({slug(name): fitted[name] for name in FUSED_OF}, part)
            judge(table, FUSED, pipeline, part, seconds=time.perf_counter() - start, note=note)
        keep(table)
    return table


def main(argv: Sequence[str]) -> None:
    """Measure all and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks book_crossing", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds book-crossing/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES), help="the rows of others are kept")
    arguments = parser.parse_args(argv)
    sums = checksums(arguments.data / FOLDER)
    file = RESULTS / "book_crossing.json"
    before = read_json(file)["rows"] if file.exists() else []

    def keep(table: Table) -> None:
        rows = [*table.rows(), *table.against(FULL)]
        new = {(row["group"], row["model"]) for row in rows}
        kept = [row for row in before if (row["group"], row["model"]) not in new]
        rows = sorted([*kept, *rows], key=lambda row: place(row["model"]))
        record("book_crossing", rows, data=sums, notes=NOTES)

    run(arguments.data, arguments.seeds, arguments.only, keep)


def place(model: str) -> int:
    """Where a model stands in the table; differences come last."""
    names = [COUNTS, *NAMES]
    return names.index(model) if model in names else len(names)


NOTES = (__doc__ or "").strip()


def _ndcg(channels: Sequence[Channel], part: Part) -> float:
    pipeline = Pipeline(channels, part.data.history)
    return measure(pipeline, [part.validation], trained_on=part.graph, ks=(K,))[0].mean(NDCG)


def _fallback(part: Part) -> Pipeline:
    return Pipeline([Popularity().fit(part.fit_data)], part.data.history)


def _restrict(lists: RaggedArray, allowed: npt.NDArray[np.bool_]) -> RaggedArray:
    kept = allowed[lists.values]
    return RaggedArray.from_pairs(lists.rows()[kept], lists.values[kept], num_rows=len(lists))


def _group(
    name: str,
    users: npt.NDArray[np.bool_],
    seen: RaggedArray,
    truth: RaggedArray,
    *,
    candidates: IntArray | None = None,
) -> Group:
    """Those of the users who have something to find."""
    return warm_group(name, np.flatnonzero(users & (truth.counts > 0)), seen, truth, candidates)


def _figure(
    metric: str, mean: float, interval: tuple[float, float] | None, of_seeds: Sequence[float]
) -> dict[str, Any]:
    row: dict[str, Any] = {metric: mean}
    if interval is not None:
        row[f"{metric} interval"] = list(interval)
    if len(of_seeds) > 1:
        row[f"{metric} spread"] = float(np.std(of_seeds, ddof=1))
    return row


def _interval(draws: Values) -> tuple[float, float]:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)
