"""What an incrementally trained model reaches beside a full rebuild, at once and after many changes in a row."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.refresh_data import Deployment
from gnn.evaluation.held_out import warm_group
from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.validation import Validation
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.settings import TrainingConfig
from gnn.text.cache import TextCache
from gnn.text.encoder import TextEncoder
from gnn.text.features import TextFeatures, encode_graph
from gnn.training.context import RunContext
from ingest import DataSettings, build_graph
from kg import KnowledgeGraph, RaggedArray, Split, split_interactions
from kg.lineage import Lineage
from kg.vocabulary import stable_hash
from recall.channels import Popularity
from recall.config.deployment import RefreshConfig, load_config
from recall.jobs.base import continued_config
from recall.jobs.plan import Plan
from recall.quality.assess import exact_pipeline, single
from recall.quality.measure import rank_group
from recall.runs.report import Reference

K = 20
GENERATIONS = 20
BESIDE = (10, 20)  # generations at which a full model is trained beside the line
METRICS = (f"recall@{K}", f"ndcg@{K}")
GROUPS = ("all users", "new interactions", "new users", "new items")
FULL = "full rebuild"
LINES = ("incremental", "no step: matched and placed")
OTHER = 500  # added to a draw's seed for the second full rebuild

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """Trained data: a graph, the part of each interaction, and its texts."""

    graph: KnowledgeGraph
    split: Split
    features: TextFeatures

    @property
    def view(self) -> KnowledgeGraph:
        return self.split.view(self.graph, "train")

    @property
    def validation(self) -> Validation:
        return Validation(truth=self.split.positives(self.graph, "valid"), seen=self.split.seen(self.graph, "train"))


class Bench:
    """The whole data of a deployment and its recipe."""

    def __init__(self, deployment: Deployment, work: Path) -> None:
        folder = work / f"quality of {deployment.name}"
        folder.mkdir(exist_ok=True)
        self.config: RefreshConfig = load_config(deployment.write(folder, 0.0))
        settings = DataSettings(graph=self.config.graph, sources=self.config.sources, quality=self.config.quality)
        self.graph, _ = build_graph(settings, base=self.config.base)
        self._encoder, self._cache = TextEncoder(self.config.text, "cpu"), TextCache(work / "text")

    def part(self, graph: KnowledgeGraph, lineage: Lineage | None = None) -> Part:
        split = split_interactions(graph, self.config.split)
        if lineage is not None:
            split, _ = lineage.keep(split, graph)
        return Part(graph, split, encode_graph(graph, self._encoder, cache=self._cache))

    def full(self, part: Part, seed: int) -> Embeddings:
        return self._fit(part, self.config.channels.lightgcn.training, seed)

    def warm(
        self, part: Part, base: Embeddings, reference: Embeddings, seed: int, *, still: bool = False
    ) -> Embeddings:
        """As `recall.jobs.base` has an incremental run; `still`: matched and placed, and no step taken."""
        steps = Reference(run="", steps={"lightgcn": reference.facts["steps"]})
        plan = Plan(kind="incremental", reasons=("",), generation=1, reference=steps)
        recipe = {"beta": base.beta, "prior": base.prior}
        channel = self.config.channels.lightgcn
        training: TrainingConfig = continued_config(channel, self.config.refresh, plan, "lightgcn", recipe).training
        if still:
            training = training.changed(max_steps=1, learning_rate=1e-30)
        return self._fit(part, training, seed, start=base)

    def _fit(self, part: Part, training: TrainingConfig, seed: int, start: Embeddings | None = None) -> Embeddings:
        began = time.process_time()
        embeddings = fit(
            part.view,
            self.config.channels.lightgcn.model,
            training,
            features=part.features,
            validation=part.validation,
            start=None if start is None else start.parameters,
            context=RunContext(device="cpu", seed=seed),
        )
        return replace(embeddings, facts={**embeddings.facts, "cpu": time.process_time() - began})


@dataclass(frozen=True)
class New:
    """What was not there before: masks over the interactions, users and items of the whole graph."""

    interactions: BoolArray
    users: BoolArray
    items: BoolArray


def before(graph: KnowledgeGraph, share: float, draw: int) -> tuple[KnowledgeGraph, New]:
    """The graph without a drawn share of items and users and without the newest share of the interactions."""
    interactions = graph.interactions
    users, items = (_drawn(names.ids, share, draw) for names in (graph.users, graph.items))
    newest = interactions.timestamp > np.quantile(interactions.timestamp, 1 - share, method="lower")
    left = graph.keep_edges({graph.schema.interaction_key: ~newest})
    left = left.keep_nodes({graph.schema.user_type: ~users, graph.schema.item_type: ~items})
    return left, New(newest | users[interactions.user] | items[interactions.item], users, items)


def _drawn(ids: Any, share: float, draw: int) -> BoolArray:
    mask = np.zeros(len(ids), dtype=bool)
    mask[np.argsort(stable_hash(ids, 7000 + draw))[: round(share * len(ids))]] = True
    return mask


def quality(deployment: Deployment, work: Path, draws: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Incremental against full, on the same held-out interactions, pooled over the draws.

    Two full rebuilds that differ in their seed alone show what of a difference is chance.
    """
    bench, readings = Bench(deployment, work), Readings()
    whole = bench.part(bench.graph)
    for draw in range(draws):
        old, new = before(bench.graph, 0.01, draw)
        was = bench.part(old)
        now = bench.part(bench.graph, Lineage.of(was.split, old))
        base, full = bench.full(was, draw), bench.full(whole, draw)
        truths, seen = _asked(whole, now, new)
        readings.add(FULL, full, whole, truths, seen)
        readings.add(f"{FULL}, other seed", bench.full(whole, draw + OTHER), whole, truths, seen)
        readings.add(LINES[0], bench.warm(now, base, base, draw + 1), now, truths, seen)
        readings.add(LINES[1], bench.warm(now, base, base, draw, still=True), now, truths, seen)
        readings.add("training skipped: the old vectors", base, was, truths, seen, graph=bench.graph)
    return readings.rows(FULL), {"draws": draws, "share": 0.01, "held out by both": readings.pairs}


def _asked(full: Part, now: Part, new: New) -> tuple[dict[str, RaggedArray], RaggedArray]:
    """What is to be found by group, and what is not shown: held out is what both splits hold out."""
    interactions = full.graph.interactions
    held = full.split.mask("test") & now.split.mask("test")

    def lists(mask: BoolArray) -> RaggedArray:
        return RaggedArray.from_pairs(interactions.user[mask], interactions.item[mask], num_rows=len(full.graph.users))

    wanted = held & interactions.positive
    masks = (
        wanted,
        wanted & new.interactions,
        wanted & new.users[interactions.user],
        wanted & new.items[interactions.item],
    )
    return {name: lists(mask) for name, mask in zip(GROUPS, masks, strict=True)}, lists(~held)


class Readings:
    """Values by system and group, a number a user and draw."""

    def __init__(self) -> None:
        self.pairs: dict[str, int] = defaultdict(int)
        self._values: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        self._cpu: dict[str, list[float]] = defaultdict(list)

    def add(
        self,
        system: str,
        embeddings: Embeddings,
        part: Part,
        truths: Mapping[str, RaggedArray],
        seen: RaggedArray,
        *,
        graph: KnowledgeGraph | None = None,
    ) -> None:
        """Measure one model; `graph`: the newer one that `truths` and `seen` speak of."""
        users = np.flatnonzero(truths[GROUPS[0]].counts)
        if graph is None:
            ranked = self._ranked(embeddings, part.view, users, seen)
        else:
            ranked = self._ranked_by_old(embeddings, part, graph, users, seen)
        for name, truth in truths.items():
            at = np.flatnonzero(truth.counts[users])
            values = per_user_metrics(ranked[at], truth.take(users[at]), K)
            self._values[system][name].append(np.stack([values["recall"], values["ndcg"]]))
            if system == FULL:
                self.pairs[name] += int(truth.counts.sum())
        self._cpu[system].append(float(embeddings.facts["cpu"]))

    def _ranked(self, embeddings: Embeddings, view: KnowledgeGraph, users: Any, seen: RaggedArray) -> Any:
        nothing = RaggedArray.from_pairs(users, np.zeros(len(users), dtype=np.int64), num_rows=len(view.users))
        group = warm_group("", users, seen, nothing)
        return rank_group(exact_pipeline(embeddings, view), group, K, graph=view)

    def _ranked_by_old(
        self, embeddings: Embeddings, part: Part, graph: KnowledgeGraph, users: Any, seen: RaggedArray
    ) -> Any:
        """The lists of a model that knows nothing of what is new; new users get none."""
        old = part.graph
        user = old.users.index(graph.users.take(users), missing="negative")
        item = old.items.index(graph.items.ids, missing="negative")
        rows, shown = seen.rows(), item[seen.values]
        back = np.full(len(graph.users), -1)
        back[users] = user
        kept = (back[rows] >= 0) & (shown >= 0)
        there = user >= 0
        hidden = RaggedArray.from_pairs(back[rows][kept], shown[kept], num_rows=len(old.users))
        lists = self._ranked(embeddings, part.view, np.sort(user[there]), hidden)[np.argsort(np.argsort(user[there]))]
        names = np.concatenate([graph.items.index(old.items.ids), [-1]])  # -1 stays -1
        ranked = np.full((len(users), K), -1, dtype=np.int64)
        ranked[there] = names[lists]
        return ranked

    def rows(self, reference: str) -> list[dict[str, Any]]:
        """A row a system and group, beside the reference, with a bootstrap interval over users of the difference."""
        random = np.random.default_rng(0)
        rows = []
        for system, groups in self._values.items():
            for name, parts in groups.items():
                values = np.concatenate(parts, axis=1)
                beside = np.concatenate(self._values[reference][name], axis=1)
                row: dict[str, Any] = {"model": system, "group": name, "users": values.shape[1]}
                row["cpu s"] = round(float(np.mean(self._cpu[system])), 2)
                picks = random.integers(0, values.shape[1], (1000, values.shape[1]))
                for at, metric in enumerate(METRICS):
                    row[metric] = float(values[at].mean())
                    if not beside[at].any():
                        continue
                    row[f"{metric} of full"] = float(values[at].mean() / beside[at].mean())
                    lost = (values[at] - beside[at])[picks].mean(axis=1) / beside[at].mean()
                    row[f"{metric} change, 95%"] = [float(edge) for edge in np.quantile(lost, [0.025, 0.975])]
                rows.append(row)
        return rows


def drift(deployment: Deployment, work: Path, draws: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Lines of 20 incremental trainings, each with 1% more, beside lines without a step and full rebuilds.

    The lead over popularity is what `refresh.full_below` looks at: below that share of the first model's, the next run
    would be a full one.
    """
    bench = Bench(deployment, work)
    leads: dict[tuple[str, int], list[float]] = defaultdict(list)
    beside = {generation: Readings() for generation in BESIDE}
    sizes: dict[int, int] = {}
    for draw in range(draws):
        first, _ = before(bench.graph, GENERATIONS / 100, draw)
        part = bench.part(first)
        lines = dict.fromkeys(LINES, bench.full(part, draw))
        reference, first_lead = lines[LINES[0]], _lead(lines[LINES[0]], part)
        lineage = Lineage.of(part.split, first)
        for generation in range(1, GENERATIONS + 1):
            there, _ = before(bench.graph, (GENERATIONS - generation) / 100, draw)
            sizes[generation] = len(there.interactions)
            part = bench.part(there, lineage)
            lineage = Lineage.of(part.split, there, before=lineage)
            for name, still in zip(LINES, (False, True), strict=True):
                lines[name] = bench.warm(part, lines[name], reference, draw + generation, still=still)
                leads[name, generation].append(_lead(lines[name], part) / first_lead)
            if generation in beside:
                _beside(beside[generation], bench, part, lines, draw)
    rows: list[dict[str, Any]] = []
    for generation, size in sizes.items():
        row: dict[str, Any] = {"generation": generation, "interactions": size}
        row |= {f"lead of the first, {name}": float(np.mean(leads[name, generation])) for name in LINES}
        if generation in beside:
            for one in beside[generation].rows(FULL):
                if one["model"] in LINES:
                    row |= {f"{metric} of full, {one['model']}": one[f"{metric} of full"] for metric in METRICS}
                    row[f"ndcg change, 95%, {one['model']}"] = one[f"{METRICS[1]} change, 95%"]
        rows.append(row)
    settings = bench.config.refresh
    return rows, {"draws": draws, "full after": settings.full_after, "full below": settings.full_below}


def _lead(embeddings: Embeddings, part: Part) -> float:
    """NDCG of a model on the test part, as a multiple of popularity's."""
    truth, seen = part.split.positives(part.graph, "test"), part.split.seen(part.graph, "train", "valid")
    users = np.flatnonzero((truth.counts > 0) & (part.split.positives(part.graph, "train").counts > 0))
    nothing = RaggedArray.from_pairs(users, np.zeros(len(users), dtype=np.int64), num_rows=len(part.graph.users))
    group = warm_group("", users, seen, nothing)
    rankers = (exact_pipeline(embeddings, part.view), single(Popularity(), part.view))
    of_model, of_popularity = (
        per_user_metrics(rank_group(ranker, group, K, graph=part.view), truth.take(users), K)["ndcg"].mean()
        for ranker in rankers
    )
    return float(of_model / of_popularity)


def _beside(readings: Readings, bench: Bench, part: Part, lines: Mapping[str, Embeddings], seed: int) -> None:
    """The lines and a full model on the same held-out interactions."""
    plain = bench.part(part.graph)
    none = np.zeros(len(part.graph.interactions), dtype=bool)
    new = New(none, np.zeros(len(part.graph.users), dtype=bool), np.zeros(len(part.graph.items), dtype=bool))
    truths, seen = _asked(plain, part, new)
    everybody = {GROUPS[0]: truths[GROUPS[0]]}
    readings.add(FULL, bench.full(plain, seed), plain, everybody, seen)
    for name, line in lines.items():
        readings.add(name, line, part, everybody, seen)
