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
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.ablations import shuffled
from benchmarks.fusing import chosen_weights, slug, told, weighed_walk
from benchmarks.movies_data import bundled, checksums, rich
from benchmarks.pair_metrics import user_means
from benchmarks.recipes import COLD, GLOBAL, MAIN, PER_USER, RECIPES, Recipe
from benchmarks.results import record, show
from gnn.evaluation.held_out import Evaluation, Group, cold_item_groups, user_groups
from gnn.evaluation.metrics import Values, bootstrap_interval
from gnn.evaluation.validation import Validation
from gnn.graph.cold_start import place_cold_items
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.fold_in import fold_in_items
from gnn.graph.lightgcn import chosen_relations
from gnn.text.cache import TextCache
from gnn.text.encoder import TextConfig, TextEncoder
from gnn.text.features import TextFeatures, encode_graph
from gnn.training.context import RunContext
from kg import KnowledgeGraph, RelationKey, Split, SplitConfig, hide_items, split_interactions
from kg.arrays import IntArray
from kg.history import InteractionHistory
from kg.topology.adjacency import Adjacency
from recall.channels.attribute_knn import AttributeKNN, AttributeKNNConfig
from recall.channels.content_knn import ContentKNN, ContentKNNConfig
from recall.channels.ease import EASE, EASEConfig
from recall.channels.item_knn import ItemKNN, ItemKNNConfig
from recall.channels.popularity import Popularity
from recall.channels.rp3beta import RP3Beta, RP3BetaConfig
from recall.channels.spectral import Spectral, SpectralConfig
from recall.channels.walk import Walk
from recall.config.sections import FusionSettings
from recall.contracts import Channel, FitData, LoadData, Query
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from recall.quality.assess import exact_channel, exact_pipeline, single
from recall.quality.measure import measure

K = 20
METRICS = (f"recall@{K}", f"ndcg@{K}")
SECTIONS = (PER_USER, COLD, GLOBAL, "canary")
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

    def of_users(self, metric: str, seeds: int | None = None) -> Values:
        """Each user's mean over the seeds that measured this user (masks of cold items differ in whom they touch)."""
        return user_means(self.users[:seeds], self.values[metric][:seeds])


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
        """Paired differences of one model to all others over the seeds of both, with intervals over users."""
        for (group, other), scores in self.scores.items():
            mine = self.scores.get((group, model))
            if other == model or mine is None:
                continue
            row: dict[str, Any] = {"section": self.section, "group": group, "model": f"{model} minus {other}"}
            seeds = min(len(mine.users), len(scores.users))
            for metric in METRICS:
                difference = mine.of_users(metric, seeds) - scores.of_users(metric, seeds)
                row[metric] = float(difference.mean())
                row[f"{metric} interval"] = list(bootstrap_interval(difference))
            yield row


def baselines(section: str) -> dict[str, list[tuple[str, Make]]]:
    """The settings that validation chooses from, by baseline; cold items alone ask those that can place one."""
    content: dict[str, list[tuple[str, Make]]] = {
        "popularity": [("", Popularity)],
        "content kNN": [
            (f"{n} neighbours, centred", lambda n=n: ContentKNN(ContentKNNConfig(neighbours=n, centre=True)))
            for n in (20, 100, 500)
        ],
        "attribute kNN": [
            (f"{n} neighbours", lambda n=n: AttributeKNN(AttributeKNNConfig(neighbours=n))) for n in (20, 50, 100)
        ],
    }
    if section == COLD:
        return content
    collaborative: dict[str, list[tuple[str, Make]]] = {
        "item-kNN": [
            (f"{n} neighbours, shrinkage {s:g}", lambda n=n, s=s: ItemKNN(ItemKNNConfig(neighbours=n, shrinkage=s)))
            for n in (50, 100)
            for s in (0.0, 10.0, 50.0)
        ],
        "spectral filter (GF-CF)": [
            (f"{f} factors, alpha 0.3", lambda f=f: Spectral(SpectralConfig(factors=f, alpha=0.3)))
            for f in (32, 64, 128)
        ],
        "RP3beta": [
            (
                f"alpha 0.5, beta {b:g}, {n} neighbours",
                lambda b=b, n=n: RP3Beta(RP3BetaConfig(alpha=0.5, beta=b, neighbours=n)),
            )
            for b in (0.3, 0.5)
            for n in (100, 800)
        ],
        # An inverse of all items for each setting: others were compared on validation before.
        "EASE": [("lambda 200", lambda: EASE(EASEConfig(regularisation=200.0)))],
    }
    return content | collaborative


def choose(
    options: list[tuple[str, Make]], groups: list[Group], view: KnowledgeGraph, features: TextFeatures
) -> tuple[str, Make]:
    """The option with the best NDCG on the first group."""
    if len(options) == 1:
        return options[0]
    reached = [
        measure(single(make(), view, features=features), groups[:1], trained_on=view, ks=(K,))[0].mean(f"ndcg@{K}")
        for _, make in options
    ]
    return options[int(np.argmax(reached))]


def train(graph: KnowledgeGraph, recipe: Recipe, features: TextFeatures, *, seed: int) -> Embeddings:
    """Train one model for the steps and under the exponent that validation found for its recipe."""
    if recipe.shuffled:
        graph = shuffled(graph, seed)
    return fit(
        graph,
        recipe.model,
        recipe.training,
        features=features,
        steps=recipe.steps,
        beta=recipe.beta,
        context=RunContext(seed=seed),
    )


def bare(embeddings: Embeddings) -> Embeddings:
    """The model before anything was placed: what training without cold items gives, to the bit."""
    linear = embeddings.linear
    if linear is None or linear.placed is None:
        return embeddings
    base, tail, tail2, final = (table.copy() for table in (linear.base, linear.tail, linear.tail2, embeddings.final))
    interaction = tuple(key for key in linear.relations if key not in linear.placing)
    others = np.ones(len(base), dtype=bool)
    for name in (embeddings.user_type, embeddings.item_type):
        others[embeddings.numbering.span(name)] = False
    for table in (base, tail, tail2, final):
        table[linear.placed | others] = 0
    weights = linear.weights[[linear.relations.index(key) for key in interaction]]
    before = replace(
        linear,
        base=base, tail=tail, tail2=tail2, relations=interaction, weights=weights, text_projection=None,
        placing=(), placed=None,
    )  # fmt: skip
    plain = replace(embeddings, final=final, linear=before, cold=None, cold_scale=1.0)
    return plain.with_beta(embeddings.beta)


# Name, texts, relations (None: all), rewired.
PLACERS: tuple[tuple[str, bool, tuple[str, ...] | None, bool], ...] = (
    ("cold items by graph and text", True, None, False),
    ("cold items by text alone", True, (), False),
    ("cold items by graph alone", False, None, False),
    ("cold items by shuffled graph and text", True, None, True),
)
CHOSEN = f"LightGCN, {PLACERS[0][0]}"
PLAIN = "LightGCN"
FUSED = "fused"
WALK, WITH_WALK = "typed walk", "fused with the typed walk"
FUSED_WITH = ("EASE", "item-kNN", "RP3beta", "spectral filter (GF-CF)", "attribute kNN")


def placed(
    plain: Embeddings,
    graph: KnowledgeGraph,
    features: TextFeatures,
    placer: tuple[str, bool, tuple[str, ...] | None, bool],
    *,
    seed: int,
    validation: Validation | None = None,
    scale: float | None = None,
) -> Embeddings:
    """A trained model with the cold items placed from what one ablation leaves."""
    _, text, relations, rewired = placer
    graph = shuffled(graph, seed) if rewired else graph
    return place_cold_items(
        plain,
        graph,
        MAIN.training,
        relations=chosen_relations(graph, relations),
        features=features if text else None,
        validation=validation,
        scale=scale,
    )


def added_later(
    plain: Embeddings, view: KnowledgeGraph, features: TextFeatures, hidden: npt.NDArray[np.bool_], scale: float
) -> Embeddings:
    """Hidden items that the graph did not have while training: their edges come with the request."""
    kept: dict[RelationKey, npt.NDArray[np.bool_]] = {}
    attributes_of: list[dict[RelationKey, list[int]]] = [{} for _ in range(int(hidden.sum()))]
    place = np.cumsum(hidden) - 1
    for key, table in view.edges.items():
        if view.schema.relations[key].event is None and plain.item_type in (key.source, key.target):
            item = np.asarray(table["src" if key.source == plain.item_type else "dst"])
            other = np.asarray(table["dst" if key.source == plain.item_type else "src"])
            kept[key] = ~hidden[item]
            for row in np.flatnonzero(hidden[item]):
                attributes_of[place[item[row]]].setdefault(key, []).append(other[row])
    items = plain.numbering.span(plain.item_type)
    here = (features.nodes >= items.start) & (features.nodes < items.stop)
    new = np.zeros(len(features.nodes), dtype=bool)
    new[here] = hidden[features.nodes[here] - items.start]
    shown = replace(features, nodes=features.nodes[~new], vectors=features.vectors[~new])
    before = view.keep_edges(kept)
    embeddings = placed(plain, before, shown, PLACERS[0], seed=0, scale=scale)
    text = np.zeros((len(attributes_of), features.dim), dtype=np.float32)
    text[place[features.nodes[new] - items.start]] = features.vectors[new]
    vectors = fold_in_items(
        embeddings,
        Adjacency.of(before),
        text=text,
        attributes=[{k: np.array(v) for k, v in row.items()} for row in attributes_of],
    )
    final, cold = (
        embeddings.final.copy(),
        hidden | (np.zeros_like(hidden) if embeddings.cold is None else embeddings.cold),
    )
    final[items.start + np.flatnonzero(hidden)] = vectors
    return replace(embeddings, final=final, cold=cold).with_cold_scale(scale)


@dataclass
class Chosen:
    """What the validation part of the per-user split chose for cold items.

    Attributes:
        scales: what they are multiplied with, for each way of placing them: what the validation part can bear.
        walk: the typed walk, with its weights.
        fusion: of LightGCN with its cold items placed, and the walk.
    """

    scales: dict[str, float]
    walk: Walk
    fusion: FusionConfig


def chosen_for_cold_items(graph: KnowledgeGraph, split: Split, features: TextFeatures) -> Chosen:
    """See `Chosen`."""
    view = split.view(graph, "train")
    validation = Validation(truth=split.positives(graph, "valid"), seen=split.seen(graph, "train"))
    plain = bare(train(view, MAIN, features, seed=0))
    cold_scales = {
        placer[0]: placed(plain, view, features, placer, seed=0, validation=validation) for placer in PLACERS
    }
    show("factors of cold items", [{"model": name, **each.facts["cold_items"]} for name, each in cold_scales.items()])
    walk = weighed_walk("movies", view, validation, features)
    history = InteractionHistory.of(view)
    (tuning, *_) = user_groups(graph, split, part="valid", seen_parts=("train",))
    queries = Query.of_users(tuning.user, view.users, seen=tuning.seen)
    lightgcn = exact_channel(cold_scales[PLACERS[0][0]], LoadData.of(view))
    fusion = Pipeline({"lightgcn": lightgcn, "walk": walk}, history).fit_fusion(
        queries, tuning.truth, k=K, cold_cost=FusionSettings().cold_cost
    )
    return Chosen({name: each.cold_scale for name, each in cold_scales.items()}, walk, fusion)


def run_split(
    section: str,
    graph: KnowledgeGraph,
    split: Split,
    features: TextFeatures,
    *,
    seeds: int,
    chosen_before: Callable[[], Chosen],
    keep: Callable[[Table], Any],
) -> Table:
    """Baselines and models on the test part of a split; the per-user one chooses the factors of cold items."""
    table = Table(section)
    train_view, full_view = split.view(graph, "train"), split.view(graph, "train", "valid")
    tuning = user_groups(graph, split, part="valid", seen_parts=("train",))
    groups = user_groups(graph, split)
    scales = chosen_before().scales
    models: list[Channel] = []
    full = LoadData.of(full_view)
    learned = FitData(graph=full_view, history=full.history, features=features)
    for seed in range(seeds if section == PER_USER else 1):
        start = time.perf_counter()
        plain = bare(train(full_view, MAIN, features, seed=seed))
        seconds = time.perf_counter() - start
        models.append(exact_channel(plain, full))
        for name, embeddings, note in variants(plain, full_view, features, scales, seed=seed):
            evaluations = measure(exact_pipeline(embeddings, full_view), groups, trained_on=full_view, ks=(K,))
            table.add(name, evaluations, seconds=seconds, note=note)
        keep(table)
    chosen: dict[str, Make] = {}
    baselines_by_name: dict[str, Channel] = {}
    for name, options in baselines(section).items():
        note, chosen[name] = choose(options, tuning, train_view, features)
        start = time.perf_counter()
        baselines_by_name[name] = chosen[name]().fit(learned)
        seconds = time.perf_counter() - start
        table.add(
            name,
            measure(Pipeline([baselines_by_name[name]], full.history), groups, trained_on=full_view, ks=(K,)),
            seconds=seconds,
            note=note,
        )
    keep(table)
    if section == PER_USER:
        first = bare(train(train_view, MAIN, features, seed=0))
        before: dict[str, Channel] = {slug(PLAIN): exact_channel(first, LoadData.of(train_view))}
        before |= {slug(name): chosen[name]().fit(FitData.of(train_view, features=features)) for name in FUSED_WITH}
        weights = chosen_weights(before, train_view, tuning[0], k=K)
        for model in models:
            channels = {slug(PLAIN): model, **{slug(name): baselines_by_name[name] for name in FUSED_WITH}}
            fusion = Pipeline(channels, full.history, fusion=FusionConfig(weights=weights))
            evaluations = measure(fusion, groups, trained_on=full_view, ks=(K,))
            table.add(FUSED, evaluations, seconds=0.0, note=told(weights))
        keep(table)
    for name, recipe in RECIPES.items():
        if section not in recipe.sections:
            continue
        start = time.perf_counter()
        embeddings = train(full_view, recipe, features, seed=0)
        seconds = time.perf_counter() - start
        evaluations = measure(exact_pipeline(embeddings, full_view), groups, trained_on=full_view, ks=(K,))
        table.add(name, evaluations, seconds=seconds, note=f"{recipe.steps} steps, beta {embeddings.beta:g}")
        keep(table)
    return table


def variants(
    plain: Embeddings, graph: KnowledgeGraph, features: TextFeatures, scales: dict[str, float], *, seed: int
) -> Iterator[tuple[str, Embeddings, str]]:
    """The plain model, and the same with cold items placed from all there is, and from what each ablation leaves."""
    steps = f"{plain.facts['steps']} steps, beta {plain.beta:g}"
    yield PLAIN, plain, steps
    for placer in PLACERS:
        name, scale = placer[0], scales[placer[0]]
        embeddings = placed(plain, graph, features, placer, seed=seed, scale=scale)
        yield f"LightGCN, {name}", embeddings, f"{steps}, cold items times {scale:.3g}"


def run_cold_items(
    graph: KnowledgeGraph,
    features: TextFeatures,
    *,
    seeds: int,
    chosen_before: Callable[[], Chosen],
    keep: Callable[[Table], Any],
) -> Table:
    """A tenth of the rated items hidden from training, tags and all other traces too; a new mask for each seed.

    Baselines choose on a second mask, inside what the first one leaves; the models' steps, exponent and factor of cold
    items are those of the per-user split's validation part.
    """
    table, before = Table("cold_items"), chosen_before()
    scales = before.scales
    for seed in range(seeds):
        hidden = hide_items(graph, fraction=0.1, seed=seed)
        view = hidden.view(graph, "train")
        inner = hide_items(view, fraction=0.1, seed=seed + 1000)
        inner_view = inner.view(view, "train")
        groups, tuning = cold_item_groups(graph, hidden), cold_item_groups(view, inner)
        start = time.perf_counter()
        plain = bare(train(view, MAIN, features, seed=seed))
        seconds = time.perf_counter() - start
        models = list(variants(plain, view, features, scales, seed=seed))
        assert hidden.hidden_items is not None  # noqa: S101 (hide_items sets it)
        scale = scales[PLACERS[0][0]]
        later = added_later(plain, view, features, hidden.hidden_items, scale)
        models.append((f"{CHOSEN}, added after training", later, "folded in"))
        for name, embeddings, note in models:
            evaluations = measure(exact_pipeline(embeddings, view), groups, trained_on=view, ks=(K,))
            table.add(name, evaluations, seconds=seconds, note=note)
        data = FitData.of(view, features=features, recipe=before.walk.recipe)
        walk = Walk(before.walk.config).fit(data)
        table.add(WALK, measure(Pipeline([walk], data.history), groups, trained_on=view, ks=(K,)), seconds=0.0, note="")
        lightgcn = exact_channel(next(each for name, each, _ in models if name == CHOSEN), LoadData.of(view))
        both = Pipeline({"lightgcn": lightgcn, "walk": walk}, data.history, fusion=before.fusion)
        note = f"{told(before.fusion.weights)}, untouched items times {before.fusion.untouched:g}"
        table.add(WITH_WALK, measure(both, groups, trained_on=view, ks=(K,)), seconds=0.0, note=note)
        even = Pipeline(both.channels, data.history, fusion=before.fusion.changed(untouched=1.0))
        note = told(before.fusion.weights)
        table.add(
            f"{WITH_WALK}, without the factor", measure(even, groups, trained_on=view, ks=(K,)), seconds=0.0, note=note
        )
        for name, options in baselines(COLD).items():
            note, make = choose(options, tuning, inner_view, features)
            start = time.perf_counter()
            pipeline = single(make(), view, features=features)
            seconds = time.perf_counter() - start
            table.add(name, measure(pipeline, groups, trained_on=view, ks=(K,)), seconds=seconds, note=note)
        keep(table)
        for name, recipe in RECIPES.items():
            if COLD not in recipe.sections or seed >= recipe.most_seeds:
                continue
            start = time.perf_counter()
            embeddings = train(view, recipe, features, seed=seed)
            seconds = time.perf_counter() - start
            evaluations = measure(exact_pipeline(embeddings, view), groups, trained_on=view, ks=(K,))
            table.add(name, evaluations, seconds=seconds, note=f"{recipe.steps} steps, beta {embeddings.beta:g}")
            keep(table)
    return table


def run_canary(graph: KnowledgeGraph, split: Split, features: TextFeatures) -> list[dict[str, Any]]:
    """An attribute that exists only on held-out edges must change no number: trained twice, compared bit by bit."""
    marked = with_canary(graph, split)
    rows = []
    recipe = replace(MAIN, steps=20)
    results = []
    for name, candidate in (("as it is", graph), ("with the canary", marked)):
        view = split.view(candidate, "train", "valid")
        pipeline = exact_pipeline(train(view, recipe, features, seed=0), view)
        evaluation = measure(pipeline, user_groups(candidate, split)[:1], trained_on=view, ks=(K,))[0]
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
    choices: dict[str, Callable[[], Chosen]] = {}
    for section in sorted(arguments.only, key=SECTIONS.index):
        done: list[dict[str, Any]] = []
        for name, graph in graphs.items():
            features = encode_graph(graph, encoder, cache=TextCache(CACHE))
            if name not in choices:
                choices[name] = cache(partial(chosen_for_cold_items, graph, split_of(graph), features))

            def keep(rows: list[dict[str, Any]], name: str = name, section: str = section) -> list[dict[str, Any]]:
                everything = [*done, *({"graph": name, **row} for row in rows)]  # noqa: B023
                seeds = list(range(arguments.seeds))
                record(f"movies_{section}", everything, data=checksums(root, arguments.data), seeds=seeds)
                return everything

            done = keep(run(section, graph, features, seeds=arguments.seeds, chosen_before=choices[name], keep=keep))


def split_of(graph: KnowledgeGraph) -> Split:
    """Per-user time; its validation part chooses for all sections."""
    return split_interactions(graph, SplitConfig(kind="per_user_time"))


def run(
    section: str,
    graph: KnowledgeGraph,
    features: TextFeatures,
    *,
    seeds: int,
    chosen_before: Callable[[], Chosen],
    keep: Callable[[list[dict[str, Any]]], Any],
) -> list[dict[str, Any]]:
    """The rows of one section; those that are there are kept after every model, so that a long run can be cut off."""

    def rows_of(table: Table) -> list[dict[str, Any]]:
        return [*table.rows(), *table.against(CHOSEN), *table.against(FUSED), *table.against(WITH_WALK)]

    per_user = split_of(graph)
    if section == "canary":
        return run_canary(graph, per_user, features)
    more: dict[str, Any] = {"seeds": seeds, "chosen_before": chosen_before, "keep": lambda table: keep(rows_of(table))}
    if section == COLD:
        table = run_cold_items(graph, features, **more)
    else:
        split = per_user if section == PER_USER else split_interactions(graph, SplitConfig(kind="global_time"))
        table = run_split(section, graph, split, features, **more)
    return rows_of(table)
