"""Recall and NDCG on movies: baselines, models, cold items, ablations, and a canary.

Every model is tuned on validation only (grids below; the models' recipes in `recipes.py` were found the same way), then
fitted again on training and validation together, and measured once on test. All items are ranked. Intervals are
bootstrapped over users; models with a random start are trained from several seeds.

    python -m benchmarks movies [--data SOURCE] [--seeds 3] [--only SECTION ...]

`--data` names the folder with the richer source tables (cast, directors, abstracts), which are not part of the project.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ablations import shuffled
from benchmarks.movies_data import bundled, checksums, rich
from benchmarks.recipes import COLD, GLOBAL, PER_USER, RECIPES, Recipe
from benchmarks.results import record, show
from gnn.evaluation import Evaluation, Group, cold_item_groups, user_groups
from gnn.features import TextFeatures, encode_graph
from gnn.metrics import Values, bootstrap_interval
from gnn.text import TextConfig, TextEncoder
from gnn.text_cache import TextCache
from gnn.trainer import RunContext, Validation, fit
from kg import KnowledgeGraph, Split, SplitConfig, hide_items, split_interactions
from kg.ids import IntArray
from recall.channels.attribute_knn import AttributeKNN, AttributeKNNConfig
from recall.channels.content_knn import ContentKNN, ContentKNNConfig
from recall.channels.embedding import EmbeddingChannel
from recall.channels.item_knn import ItemKNN, ItemKNNConfig
from recall.channels.popularity import Popularity
from recall.channels.spectral import Spectral, SpectralConfig
from recall.contracts import Channel
from recall.measure import measure

K = 20
METRICS = (f"recall@{K}", f"ndcg@{K}")
SECTIONS = (PER_USER, GLOBAL, COLD, "canary")
CACHE = Path(".cache") / "benchmarks"

Make = Callable[[], Channel]


@dataclass
class Scores:
    """Per-user values of one model on one group, an entry a seed."""

    users: list[IntArray] = field(default_factory=list)
    values: dict[str, list[Values]] = field(default_factory=dict)
    coverage: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    note: str = ""

    def add(self, evaluation: Evaluation) -> None:
        self.users.append(evaluation.user)
        for metric in METRICS:
            self.values.setdefault(metric, []).append(evaluation.values[metric])
        self.coverage.append(evaluation.lists[f"coverage@{K}"])

    def of_users(self, metric: str) -> Values:
        """Each user's mean over the seeds that measured this user (masks of cold items differ in whom they touch)."""
        user, value = np.concatenate(self.users), np.concatenate(self.values[metric])
        times = np.bincount(user)
        means: Values = np.bincount(user, weights=value)[times > 0] / times[times > 0]
        return means


class Table:
    """All scores of one section, by group and model."""

    def __init__(self, section: str) -> None:
        self.section = section
        self.scores: dict[tuple[str, str], Scores] = {}

    def add(self, model: str, evaluations: Sequence[Evaluation], *, seconds: float, note: str = "") -> None:
        for evaluation in evaluations:
            scores = self.scores.setdefault((evaluation.group, model), Scores())
            scores.add(evaluation)
            scores.seconds.append(seconds)
            scores.note = note

    def rows(self) -> Iterator[dict[str, Any]]:
        for (group, model), scores in self.scores.items():
            users = len(np.unique(np.concatenate(scores.users)))
            row: dict[str, Any] = {"section": self.section, "group": group, "model": model, "users": users}
            for metric in METRICS:
                values = scores.of_users(metric)
                row[metric] = float(values.mean())
                row[f"{metric} interval"] = list(bootstrap_interval(values))
            row["seeds"] = len(scores.seconds)
            if row["seeds"] > 1:
                for metric in METRICS:
                    row[f"{metric} spread"] = float(np.std([v.mean() for v in scores.values[metric]], ddof=1))
            row[f"coverage@{K}"] = float(np.mean(scores.coverage))
            row["seconds"] = round(float(np.mean(scores.seconds)), 2)
            row["chosen"] = scores.note
            yield row

    def against(self, model: str) -> Iterator[dict[str, Any]]:
        """Paired differences of one model to all others, with intervals over users."""
        for (group, other), scores in self.scores.items():
            mine = self.scores.get((group, model))
            if other == model or mine is None:
                continue
            row: dict[str, Any] = {"section": self.section, "group": group, "model": f"{model} minus {other}"}
            for metric in METRICS:
                difference = mine.of_users(metric) - scores.of_users(metric)
                row[metric] = float(difference.mean())
                row[f"{metric} interval"] = list(bootstrap_interval(difference))
            yield row


def baselines(features: TextFeatures) -> dict[str, list[tuple[str, Make]]]:
    """The settings that validation chooses from, by baseline."""
    return {
        "popularity": [("", Popularity)],
        "item-kNN": [
            (f"{n} neighbours, shrinkage {s:g}", lambda n=n, s=s: ItemKNN(ItemKNNConfig(neighbours=n, shrinkage=s)))
            for n in (50, 100, 200, 500, 1000)
            for s in (0.0, 10.0, 50.0)
        ],
        "spectral filter (GF-CF)": [
            (f"{f} factors, alpha {a:g}", lambda f=f, a=a: Spectral(SpectralConfig(factors=f, alpha=a)))
            for f in (16, 32, 64, 128)
            for a in (0.0, 0.3, 1.0)
        ],
        "content kNN": [
            (
                f"{n or 'all'} neighbours{', centred' if c else ''}",
                lambda n=n, c=c: ContentKNN(features, ContentKNNConfig(neighbours=n, centre=c)),
            )
            for n in (20, 100, 500, 2000, None)
            for c in (False, True)
        ],
        "attribute kNN": [
            (f"{n} neighbours", lambda n=n: AttributeKNN(AttributeKNNConfig(neighbours=n)))
            for n in (20, 50, 100, 500, 2000)
        ],
    }


def choose(options: list[tuple[str, Make]], groups: list[Group], view: KnowledgeGraph) -> tuple[str, Make]:
    """The option with the best NDCG on the first group."""
    if len(options) == 1:
        return options[0]
    reached = [
        measure(make().fit(view), groups[:1], trained_on=view, ks=(K,))[0].mean(f"ndcg@{K}") for _, make in options
    ]
    return options[int(np.argmax(reached))]


def train(
    graph: KnowledgeGraph,
    recipe: Recipe,
    features: TextFeatures,
    *,
    seed: int,
    validation: Validation | None = None,
    steps: int | None = None,
    beta: float | None = None,
) -> EmbeddingChannel:
    """Train one model and put an index on it."""
    embeddings = fit(
        graph,
        recipe.model,
        recipe.training,
        features=features,
        validation=validation,
        steps=steps,
        beta=beta,
        context=RunContext(seed=seed),
    )
    return EmbeddingChannel.of(embeddings, graph)


def run_split(
    section: str,
    graph: KnowledgeGraph,
    split: Split,
    features: TextFeatures,
    *,
    seeds: int,
    models: Sequence[str],
    keep: Callable[[Table], Any],
) -> Table:
    """Baselines and models on the test part of a split."""
    table = Table(section)
    train_view, full_view = split.view(graph, "train"), split.view(graph, "train", "valid")
    tuning = user_groups(graph, split, part="valid", known_parts=("train",))
    groups = user_groups(graph, split)
    for name, options in baselines(features).items():
        note, make = choose(options, tuning, train_view)
        start = time.perf_counter()
        channel = make().fit(full_view)
        seconds = time.perf_counter() - start
        table.add(name, measure(channel, groups, trained_on=full_view, ks=(K,)), seconds=seconds, note=note)
        show(
            section, [{k: v for k, v in row.items() if k != "section"} for row in table.rows() if row["model"] == name]
        )
    validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
    for name in models:
        recipe = RECIPES[name]
        for seed in range(min(seeds, recipe.most_seeds)):
            start = time.perf_counter()
            found = train(train_view, recipe, features, seed=seed, validation=validation).embeddings
            steps, beta = int(found.facts["steps"]), found.beta
            channel = train(full_view, recipe, features, seed=seed, steps=steps, beta=beta)
            seconds = time.perf_counter() - start
            table.add(
                name,
                measure(channel, groups, trained_on=full_view, ks=(K,)),
                seconds=seconds,
                note=f"{steps} steps, beta {beta:g} (last seed)",
            )
        keep(table)
    return table


def run_cold_items(
    graph: KnowledgeGraph, features: TextFeatures, *, seeds: int, models: Sequence[str], keep: Callable[[Table], Any]
) -> Table:
    """A tenth of the rated items hidden from training, tags and all other traces too; a new mask for each seed.

    Whatever is chosen is chosen on a second mask, inside what the first one leaves.
    """
    table = Table("cold_items")
    for seed in range(seeds):
        hidden = hide_items(graph, fraction=0.1, seed=seed)
        view = hidden.view(graph, "train")
        inner = hide_items(view, fraction=0.1, seed=seed + 1000)
        inner_view = inner.view(view, "train")
        groups, tuning = cold_item_groups(graph, hidden), cold_item_groups(view, inner)
        for name, options in baselines(features).items():
            note, make = choose(options, tuning, inner_view)
            start = time.perf_counter()
            channel = make().fit(view)
            seconds = time.perf_counter() - start
            table.add(name, measure(channel, groups, trained_on=view, ks=(K,)), seconds=seconds, note=note)
        for name in models:
            recipe = RECIPES[name]
            if seed >= recipe.most_seeds:
                continue
            start = time.perf_counter()
            validation = Validation(truth=inner.positives(view, "test"), seen=inner.seen(view, "train"))
            rewired = (lambda g: shuffled(g, seed)) if recipe.shuffled else (lambda g: g)  # noqa: B023
            found = train(rewired(inner_view), recipe, features, seed=seed, validation=validation).embeddings
            steps, beta = int(found.facts["steps"]), found.beta
            channel = train(rewired(view), recipe, features, seed=seed, steps=steps, beta=beta)
            seconds = time.perf_counter() - start
            note = f"{steps} steps, beta {beta:g} (last seed)"
            table.add(name, measure(channel, groups, trained_on=view, ks=(K,)), seconds=seconds, note=note)
        keep(table)
    return table


def run_canary(graph: KnowledgeGraph, split: Split, features: TextFeatures) -> list[dict[str, Any]]:
    """An attribute that exists only on held-out edges must change no number: trained twice, compared bit by bit."""
    marked = with_canary(graph, split)
    rows = []
    recipe = RECIPES["heterogeneous, graph and text"]
    results = []
    for name, candidate in (("as it is", graph), ("with the canary", marked)):
        view = split.view(candidate, "train", "valid")
        channel = train(view, recipe, features, seed=0, steps=20, beta=0.5)
        evaluation = measure(channel, user_groups(candidate, split)[:1], trained_on=view, ks=(K,))[0]
        results.append(evaluation)
        rows.append({"section": "canary", "model": name, **{metric: evaluation.mean(metric) for metric in METRICS}})
    same = all(np.array_equal(results[0].values[m], results[1].values[m]) for m in results[0].values)
    rows.append(
        {"section": "canary", "model": "identical for every user" if same else "DIFFERENT: held-out edges leak"}
    )
    return rows


def with_canary(graph: KnowledgeGraph, split: Split) -> KnowledgeGraph:
    """Every held-out interaction gets a tag of its own user and an attribute that no training edge has."""
    import pyarrow as pa

    held = split.mask("test")
    interactions = graph.interactions.select(held)
    edges = dict(graph.edges)
    key = graph.schema.interaction_key
    edges[key] = edges[key].append_column("canary", pa.array(held.astype(np.float64)))
    tagged = next(k for k in graph.schema.events() if k.name == "has_tag")
    edges[tagged] = pa.concat_tables(
        [
            graph.edges[tagged].select(["src", "dst", "user", "timestamp"]),
            pa.table(
                {
                    "src": interactions.item,
                    "dst": np.zeros(len(interactions), dtype=np.int64),
                    "user": interactions.user,
                    "timestamp": interactions.timestamp,
                }
            ).cast(graph.edges[tagged].select(["src", "dst", "user", "timestamp"]).schema),
        ]
    )
    return KnowledgeGraph(graph.schema, graph.nodes, edges)


def main(argv: Sequence[str]) -> None:
    """Run the sections and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks movies", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the richer source tables; without it: the bundle alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args(argv)
    root = Path(__file__).parent.parent
    graphs = {"bundle": bundled(root)[0]}
    if arguments.data is not None:
        graphs["rich"] = rich(arguments.data)[0]
    encoder = TextEncoder(TextConfig())
    for section in arguments.only:
        done: list[dict[str, Any]] = []
        for name, graph in graphs.items():
            features = encode_graph(graph, encoder, cache=TextCache(CACHE))

            def keep(rows: list[dict[str, Any]], name: str = name, section: str = section) -> list[dict[str, Any]]:
                everything = [*done, *({"graph": name, **row} for row in rows)]  # noqa: B023
                seeds = list(range(arguments.seeds))
                record(f"movies_{section}", everything, data=checksums(root, arguments.data), seeds=seeds)
                return everything

            done = keep(run(section, graph, features, seeds=arguments.seeds, keep=keep))


def run(
    section: str,
    graph: KnowledgeGraph,
    features: TextFeatures,
    *,
    seeds: int,
    keep: Callable[[list[dict[str, Any]]], Any],
) -> list[dict[str, Any]]:
    """The rows of one section; those that are there are kept after every model, so that a long run can be cut off."""

    def rows_of(table: Table) -> list[dict[str, Any]]:
        return [*table.rows(), *table.against("heterogeneous, graph and text")]

    if section == "canary":
        return run_canary(graph, split_interactions(graph, SplitConfig(kind="per_user_time")), features)
    models = [name for name, recipe in RECIPES.items() if section in recipe.sections]
    if section == COLD:
        table = run_cold_items(graph, features, seeds=seeds, models=models, keep=lambda t: keep(rows_of(t)))
    else:
        split = split_interactions(graph, SplitConfig(kind="global_time" if section == GLOBAL else "per_user_time"))
        table = run_split(section, graph, split, features, seeds=seeds, models=models, keep=lambda t: keep(rows_of(t)))
    return rows_of(table)
