"""What a refresh costs by the size of the change, and what an incremental one reaches beside a full rebuild.

    python -m benchmarks refresh [--only cost quality drift] [--draws 3] [--work DIR]

`cost`: the bundled movies with a share of their items and of their newest interactions taken away and brought back, as
files, by the command itself in a process of its own: processor seconds (other work on the machine does not count),
wall seconds and peak memory. `quality`: the evaluation models alone, trained as the refresh trains them, on draws of
what is new: 1% of the items and of the users, with all that was done to or by them, and the newest 1% of the
interactions. `drift`: 20 changes of 1% each, one line of incremental trainings, and full ones beside it. Nothing is
tuned here: the steps and the rate were chosen on other draws.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.movies_data import ROOT, bundled, checksums
from benchmarks.results import record
from gnn.embeddings import Embeddings
from gnn.evaluation import known_group
from gnn.features import TextFeatures, encode_graph
from gnn.metrics import per_user_metrics
from gnn.text import TextEncoder
from gnn.text_cache import TextCache, text_keys
from gnn.trainer import fit
from gnn.training import RunContext, TrainingConfig
from gnn.validation import Validation
from ingest import DataSettings, build_graph
from kg import ItemLists, KnowledgeGraph, Split, split_interactions
from kg.ids import stable_hash
from kg.lineage import Lineage
from recall.assess import exact_channel
from recall.config import RefreshConfig, load_config
from recall.make_run import warm_training
from recall.measure import rank_group
from recall.plan import Plan, Reference

MOVIES = ROOT / "examples" / "movies"
SHARES = (0.05, 0.01, 0.001)
K = 20
GENERATIONS = 20
BESIDE = (10, 20)  # generations at which a full model is trained beside the line
METRICS = (f"recall@{K}", f"ndcg@{K}")
GROUPS = ("all users", "new interactions", "new users", "new items")

BoolArray = npt.NDArray[np.bool_]


def main(argv: Sequence[str]) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks refresh", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("cost", "quality", "drift"), default=["cost", "quality", "drift"])
    parser.add_argument(
        "--draws", type=int, default=3, help="draws of what is new, each trained from a seed of its own"
    )
    parser.add_argument("--work", type=Path, help="folder for text vectors; kept, so that they are encoded once")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        for name in arguments.only:
            rows, facts = {"cost": cost, "quality": quality, "drift": drift}[name](work, arguments.draws)
            record(f"refresh_{name}", rows, data=checksums(), **facts)


# -------------------------------------------------------------------------------------------------------------- cost


@dataclass(frozen=True)
class Sources:
    """The lines of the bundled files, and when each item comes: at its own turn, or never late."""

    triples: list[tuple[str | None, str]]
    ratings: list[dict[str, str]]
    tags: list[dict[str, str]]

    @classmethod
    def read(cls) -> Sources:
        with gzip.open(MOVIES / "movies.nt.gz", "rt", encoding="utf-8") as stream:
            lines = stream.readlines()
        movie = re.compile(r"<https://movielens\.org/movies/(\d+)> ")
        found = [movie.match(line) for line in lines]
        triples = [(None if one is None else one.group(1), line) for one, line in zip(found, lines, strict=True)]
        return cls(triples, _rows(MOVIES / "ratings.csv.gz"), _rows(MOVIES / "tags.csv.gz"))

    def write(self, folder: Path, share: float) -> None:
        """The sources without a share of the items and of the newest interactions."""
        items = sorted({item for item, _ in self.triples if item is not None})
        turn = np.argsort(stable_hash(items, 0))
        gone = {items[at] for at in turn[: round(share * len(items))]}
        times = sorted(int(row["timestamp"]) for row in self.ratings)
        until = times[len(times) - 1 - round(share * len(times))]
        with gzip.open(folder / "movies.nt.gz", "wt", encoding="utf-8", compresslevel=1) as stream:
            stream.writelines(line for item, line in self.triples if item not in gone)
        for name, rows in (("ratings", self.ratings), ("tags", self.tags)):
            kept = [row for row in rows if row["movieId"] not in gone and int(row["timestamp"]) <= until]
            with gzip.open(folder / f"{name}.csv.gz", "wt", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(kept)


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def cost(work: Path, draws: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Each size of change brought to the run that serves, then the same data rebuilt."""
    folder = work / "cost"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = folder / "demo.toml"
    text = (MOVIES / "demo.toml").read_text(encoding="utf-8").replace('"../../runs"', '"runs"')
    config.write_text(text, encoding="utf-8")
    sources = Sources.read()
    states = np.cumsum([0.0, *SHARES[::-1]])[::-1]  # what is still missing after each refresh
    sources.write(folder, states[0])
    _encode_before(work, load_config(config))
    rows = [{"refresh": "full", **_run(config)}]
    for share, missing in zip(SHARES, states[1:], strict=True):
        sources.write(folder, missing)
        rows.append({"refresh": f"incremental, {share:.1%} new", **_run(config)})
    rows.append({"refresh": "nothing changed", **_run(config)})
    whole = rows[0]["cpu s"]
    for row in rows:
        row["of full"] = round(row["cpu s"] / whole, 3)
    return rows, {"shares": list(SHARES)}


def _encode_before(work: Path, config: RefreshConfig) -> None:
    """Put the texts of the first refresh, and no others, into its cache: a full rebuild would find its own there."""
    settings = DataSettings(graph=config.graph, sources=config.sources, quality=config.quality)
    graph, _ = build_graph(settings, base=config.base)
    kept = config.runs_folder / ".cache" / "text"
    if (work / "text").is_dir():
        shutil.copytree(work / "text", kept)
    encode_graph(graph, TextEncoder(config.text, "cpu"), cache=TextCache(kept))
    shutil.copytree(kept, work / "text", dirs_exist_ok=True)
    texts = [text for name in graph.nodes for text in (graph.texts(name) or pa.array([])).to_pylist()]
    TextCache(kept).keep_only(np.unique(text_keys([text for text in texts if text])))


def _run(config: Path, *flags: str) -> dict[str, Any]:
    """One refresh in a process of its own."""
    command = [sys.executable, "-c", "from recall.cli import main; main()", "refresh", str(config), "--json", *flags]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        told = json.loads(out.read())
    report = told["report"]
    row = {
        "status": told["status"],
        "cpu s": round(used.ru_utime + used.ru_stime, 2),
        "wall s": round(wall, 2),
        "peak MB": round(used.ru_maxrss / 1024, 1),
    }
    if told["status"] != "unchanged":
        row |= {"kind": report["kind"], "steps": report["training"]["evaluation"]["steps"]}
        changed = report["changes"]
        row["changed"] = None if changed is None else changed["shares"]["interactions"]
        row["stages"] = report["timings"]
    return row


# ----------------------------------------------------------------------------------------------------------- quality


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
    """The bundled movies and the recipe of the demo."""

    def __init__(self, work: Path) -> None:
        self.config: RefreshConfig = load_config(MOVIES / "demo.toml")
        self.graph, _ = bundled()
        self._encoder, self._cache = TextEncoder(self.config.text, "cpu"), TextCache(work / "text")

    def part(self, graph: KnowledgeGraph, lineage: Lineage | None = None) -> Part:
        split = split_interactions(graph, self.config.split)
        if lineage is not None:
            split, _ = lineage.keep(split, graph)
        return Part(graph, split, encode_graph(graph, self._encoder, cache=self._cache))

    def full(self, part: Part, seed: int) -> Embeddings:
        return self._fit(part, self.config.training, seed)

    def warm(
        self, part: Part, base: Embeddings, reference: Embeddings, seed: int, *, still: bool = False
    ) -> Embeddings:
        """As `recall.make_run` trains an incremental run; `still`: matched and placed, and no step taken."""
        steps = Reference(run="", steps=reference.facts["steps"])
        plan = Plan(kind="incremental", reasons=("",), generation=1, reference=steps)
        training = warm_training(self.config, plan, beta=base.beta, prior=base.prior)
        if still:
            training = replace(training, max_steps=1, learning_rate=1e-30)
        return self._fit(part, training, seed, start=base)

    def _fit(self, part: Part, training: TrainingConfig, seed: int, start: Embeddings | None = None) -> Embeddings:
        began = time.process_time()
        found = fit(
            part.view,
            self.config.model,
            training,
            features=part.features,
            validation=part.validation,
            start=None if start is None else start.parameters,
            context=RunContext(device="cpu", seed=seed),
        )
        return replace(found, facts={**found.facts, "cpu": time.process_time() - began})


@dataclass(frozen=True)
class New:
    """What was not there before: masks over the interactions, users and items of the whole graph."""

    interactions: BoolArray
    users: BoolArray
    items: BoolArray


def before(graph: KnowledgeGraph, share: float, draw: int) -> tuple[KnowledgeGraph, New]:
    """The graph without a drawn share of items and users and without the newest share of the interactions."""
    given = graph.interactions
    users, items = (_drawn(names.ids, share, draw) for names in (graph.users, graph.items))
    newest = given.timestamp > np.quantile(given.timestamp, 1 - share, method="lower")
    left = graph.keep_edges({graph.schema.interaction_key: ~newest})
    left = left.keep_nodes({graph.schema.user_type: ~users, graph.schema.item_type: ~items})
    return left, New(newest | users[given.user] | items[given.item], users, items)


def _drawn(ids: Any, share: float, draw: int) -> BoolArray:
    mask = np.zeros(len(ids), dtype=bool)
    mask[np.argsort(stable_hash(ids, 7000 + draw))[: round(share * len(ids))]] = True
    return mask


def quality(work: Path, draws: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Incremental against full, on the same held-out interactions, pooled over the draws."""
    bench, found = Bench(work), Readings()
    whole = bench.part(bench.graph)
    for draw in range(draws):
        old, new = before(bench.graph, 0.01, draw)
        was = bench.part(old)
        now = bench.part(bench.graph, Lineage.of(was.split, old))
        base, full = bench.full(was, draw), bench.full(whole, draw)
        truths, seen = _asked(whole, now, new)
        found.add("full rebuild", full, whole, truths, seen)
        found.add("incremental", bench.warm(now, base, base, draw + 1), now, truths, seen)
        found.add("no step: matched and placed", bench.warm(now, base, base, draw, still=True), now, truths, seen)
        found.add("training skipped: the old vectors", base, was, truths, seen, graph=bench.graph)
    return found.rows("full rebuild"), {"draws": draws, "share": 0.01, "held out by both": found.pairs}


def _asked(full: Part, now: Part, new: New) -> tuple[dict[str, ItemLists], ItemLists]:
    """What is to be found by group, and what is not shown: held out is what both splits hold out."""
    given = full.graph.interactions
    held = full.split.mask("test") & now.split.mask("test")

    def lists(mask: BoolArray) -> ItemLists:
        return ItemLists.from_pairs(given.user[mask], given.item[mask], num_rows=len(full.graph.users))

    wanted = held & given.positive
    masks = (wanted, wanted & new.interactions, wanted & new.users[given.user], wanted & new.items[given.item])
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
        found: Embeddings,
        part: Part,
        truths: Mapping[str, ItemLists],
        seen: ItemLists,
        *,
        graph: KnowledgeGraph | None = None,
    ) -> None:
        """Measure one model; `graph`: the newer one that `truths` and `seen` speak of."""
        users = np.flatnonzero(truths[GROUPS[0]].counts)
        if graph is None:
            ranked = self._ranked(found, part.view, users, seen)
        else:
            ranked = self._ranked_by_old(found, part, graph, users, seen)
        for name, truth in truths.items():
            at = np.flatnonzero(truth.counts[users])
            values = per_user_metrics(ranked[at], truth.take(users[at]), K)
            self._values[system][name].append(np.stack([values["recall"], values["ndcg"]]))
            if system == "full rebuild":
                self.pairs[name] += int(truth.counts.sum())
        self._cpu[system].append(float(found.facts["cpu"]))

    def _ranked(self, found: Embeddings, view: KnowledgeGraph, users: Any, seen: ItemLists) -> Any:
        nothing = ItemLists.from_pairs(users, np.zeros(len(users), dtype=np.int64), num_rows=len(view.users))
        group = known_group("", users, seen, nothing)
        return rank_group(exact_channel(found, view), group, K, graph=view)

    def _ranked_by_old(self, found: Embeddings, part: Part, graph: KnowledgeGraph, users: Any, seen: ItemLists) -> Any:
        """The lists of a model that knows nothing of what is new; new users get none."""
        old = part.graph
        user = old.users.index(graph.users.take(users), missing="negative")
        item = old.items.index(graph.items.ids, missing="negative")
        rows, shown = seen.rows(), item[seen.items]
        back = np.full(len(graph.users), -1)
        back[users] = user
        kept = (back[rows] >= 0) & (shown >= 0)
        there = user >= 0
        hidden = ItemLists.from_pairs(back[rows][kept], shown[kept], num_rows=len(old.users))
        lists = self._ranked(found, part.view, np.sort(user[there]), hidden)[np.argsort(np.argsort(user[there]))]
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


# ------------------------------------------------------------------------------------------------------------- drift


def drift(work: Path, draws: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One line of 20 incremental trainings, each with 1% more, beside full ones on the same data."""
    bench = Bench(work)
    graph = bench.graph
    first, _ = before(graph, GENERATIONS / 100, 0)
    part = bench.part(first)
    line = reference = bench.full(part, 0)
    lineage = Lineage.of(part.split, first)
    rows: list[dict[str, Any]] = []
    for generation in range(1, GENERATIONS + 1):
        there, _ = before(graph, (GENERATIONS - generation) / 100, 0)
        part = bench.part(there, lineage)
        lineage = Lineage.of(part.split, there, before=lineage)
        line = bench.warm(part, line, reference, generation)
        reached = line.facts["validation"][METRICS[1]] / reference.facts["validation"][METRICS[1]]
        row: dict[str, Any] = {"generation": generation, "interactions": len(there.interactions)}
        row |= {"cpu s": round(line.facts["cpu"], 2), "validation of the last full": reached}
        if generation in BESIDE:
            row |= _beside(bench, part, line, generation)
        rows.append(row)
    return rows, {"full after": bench.config.refresh.full_after, "full below": bench.config.refresh.full_below}


def _beside(bench: Bench, part: Part, line: Embeddings, seed: int) -> dict[str, Any]:
    """The line and a full model on the same held-out interactions."""
    plain = bench.part(part.graph)
    full = bench.full(plain, seed)
    none = np.zeros(len(part.graph.interactions), dtype=bool)
    new = New(none, np.zeros(len(part.graph.users), dtype=bool), np.zeros(len(part.graph.items), dtype=bool))
    truths, seen = _asked(plain, part, new)
    found = Readings()
    for system, model, trained in (("full rebuild", full, plain), ("incremental", line, part)):
        found.add(system, model, trained, {GROUPS[0]: truths[GROUPS[0]]}, seen)
    (one,) = [row for row in found.rows("full rebuild") if row["model"] == "incremental"]
    wanted = list(METRICS) + [f"{metric} of full" for metric in METRICS]
    return {name: one[name] for name in [*wanted, f"{METRICS[1]} change, 95%"]}
