"""How fast LightGCN is trained on gowalla: beside its two usual implementations, and up to the paper's test figure.

    python -m benchmarks training --data DIR [--seconds 600] [--only peers target] [--threads N] [--seeds 1]

`peers`: PyG's and RecBole's LightGCN, each in an environment of their own (`peers/lightgcn.txt`), get a fixed
budget of seconds of training on the part of train that is not validation, one after the other. Each first tries a few
settings for a fifth of the budget; the best one on validation gets all of it. They leave their vectors behind at
intervals, and one evaluator, the trainer's own, ranks all items for the same validation users. Building the data and
saving cost no peer anything, and validation costs nobody. What counts is the budget over the seconds until graphrecall
is as good as the peer was at its best. The curves are drawn to `results/training.png`.

`target`: seconds to train a model whose NDCG@20 on test is that of the LightGCN paper, .1554; the steps come from
validation, then all of train is trained on, and test is read once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks import gowalla_data
from benchmarks.peer_environment import HERE, environment, run_peer
from benchmarks.recipes import GOWALLA
from benchmarks.results import FOLDER, record, show
from gnn.distributed import ALONE
from gnn.evaluation.held_out import Evaluation, evaluate, user_groups
from gnn.evaluation.ranking import top_items
from gnn.evaluation.validation import Validation
from gnn.graph.embeddings import Embeddings
from gnn.graph.fit import fit
from gnn.graph.validator import Validator
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import KnowledgeGraph, Split
from kg.io.files import atomic_path
from kg.progress import Task

K = 20
RECALL, NDCG = f"recall@{K}", f"ndcg@{K}"
DIM, LAYERS = 64, 3
USERS = 5_000
SNAPSHOTS = 20
SHORT = 5
PAPER = 0.1554
# The recipe of the accuracy tables with batches of whole users, of which a step can take four times as many pairs.
FAST = GOWALLA.training.changed(
    whole_users=True,
    batch_size=131_072,
    negatives=1024,
    max_steps=3_000,
    validation_users=USERS,
)
CURVE = FAST.changed(betas=(), priors=(0.12,), eval_every=10, patience=10)
SEARCH = FAST.changed(eval_every=25, patience=4)
ENVIRONMENT = "lightgcn"
COLOURS = {"graphrecall": "#2f6db5", "PyG LightGCN": "#c0392b", "RecBole LightGCN": "#e8a33d"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a peer is trained with; the rest is as it comes."""

    batch: int
    learning_rate: float

    def __str__(self) -> str:
        return f"batch {self.batch:,}, learning rate {self.learning_rate:g}"


@dataclass(frozen=True, slots=True)
class Peer:
    """A script and the settings that it tries first, its own defaults among them."""

    script: str
    settings: tuple[Setting, ...]


PEERS = {
    "PyG LightGCN": Peer("pyg_lightgcn.py", (Setting(8192, 1e-3), Setting(8192, 5e-3), Setting(8192, 2e-2))),
    "RecBole LightGCN": Peer("recbole_lightgcn.py", (Setting(2048, 1e-3), Setting(8192, 5e-3), Setting(8192, 2e-2))),
}


@dataclass(frozen=True, slots=True)
class Point:
    """What a model had reached."""

    seconds: float
    step: int
    ndcg: float
    recall: float


@dataclass(slots=True)
class Clock:
    """Counts the seconds of a training without its validations."""

    most: float = float("inf")
    curve: list[Point] = field(default_factory=list)
    _began: float | None = None
    _validating: float = 0.0

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        """The training is about to start."""
        yield self

    def advance(self, steps: int = 1) -> None:
        # The trainer counts from its first call on.
        if self._began is None:
            self._began = time.perf_counter()

    def note(self, text: str) -> None:
        """Nothing to be shown."""

    def validated(self, history: Sequence[Mapping[str, Any]]) -> None:
        """A validation is over; the trainer took its time just before.

        Raises:
            OutOfTime: the budget is spent.
        """
        assert self._began is not None  # noqa: S101 - a step came first
        line = history[-1]
        seconds = line["seconds"] - self._validating
        self._validating = time.perf_counter() - self._began - seconds
        self.curve.append(Point(round(seconds, 2), line["step"], line[NDCG], line[RECALL]))
        if seconds >= self.most:
            raise OutOfTime

    def best(self) -> Point:
        return max(self.curve, key=lambda point: point.ndcg)

    def reached(self, ndcg: float) -> Point | None:
        """The first validation that was as good."""
        return next((point for point in self.curve if point.ndcg >= ndcg), None)


class OutOfTime(Exception):  # noqa: N818 - an end, not an error
    """A training has used its seconds."""


class Gowalla:
    """The data, its split and what validation asks for."""

    def __init__(self, folder: Path) -> None:
        self.graph: KnowledgeGraph = gowalla_data.load(folder)
        self.split: Split = gowalla_data.split(self.graph)
        self.train = self.split.view(self.graph, "train")
        self.validation = Validation(
            truth=self.split.positives(self.graph, "valid"), seen=self.split.seen(self.graph, "train")
        )

    def pairs(self) -> np.ndarray[Any, Any]:
        """Users and items of the training part by position, int64 (pairs, 2)."""
        interactions = self.train.interactions
        return np.stack([interactions.user[interactions.positive], interactions.item[interactions.positive]], axis=1)


# ---------------------------------------------------------------------------------------------------------- peers


def train_peer(
    python: Path, script: str, setting: Setting, data: Gowalla, *, seconds: float, snapshots: int, threads: int
) -> list[Point]:
    """Train a peer for a while and evaluate what it left behind."""
    with tempfile.TemporaryDirectory(prefix="graphrecall-peer-") as name:
        folder = Path(name)
        (folder / "out").mkdir()
        np.save(folder / "pairs.npy", data.pairs())
        options = {
            "pairs": folder / "pairs.npy",
            "out": folder / "out",
            "seconds": seconds,
            "snapshots": snapshots,
            "users": len(data.graph.users),
            "items": len(data.graph.items),
            "dim": DIM,
            "layers": LAYERS,
            "batch": setting.batch,
            "learning_rate": setting.learning_rate,
            "seed": 0,
        }
        run_peer(python, script, folder, threads=threads, **options)
        return evaluate_peer(sorted((folder / "out").glob("*.npz")), data)


def evaluate_peer(files: Sequence[Path], data: Gowalla) -> list[Point]:
    """NDCG and recall on validation of each file that a peer wrote, ranked by dot product."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = TrainingConfig(betas=(1.0,), priors=(), validation_users=USERS)
    validator = Validator(data.train, data.validation, settings, seed=0, device=device, ranks=ALONE)
    nobody = np.zeros(len(data.graph.items), dtype=bool)
    curve = []
    for file in files:
        with np.load(file) as stored:
            users, items = (torch.from_numpy(stored[name]).to(device) for name in ("users", "items"))
            measured = validator.measure(users[validator.users], items, cold=nobody, cold_scale=1.0)
            curve.append(
                Point(float(stored["seconds"]), int(stored["step"]), measured.values[NDCG], measured.values[RECALL])
            )
    return curve


def chosen_setting(python: Path, name: str, data: Gowalla, *, seconds: float, threads: int) -> tuple[Setting, Any]:
    """The setting that was best on validation after a short training, and what each reached."""
    tried: dict[Setting, float] = {}
    for setting in PEERS[name].settings:
        curve = train_peer(
            python, PEERS[name].script, setting, data, seconds=seconds, snapshots=SNAPSHOTS // SHORT, threads=threads
        )
        tried[setting] = max(point.ndcg for point in curve)
        print(f"{name}, {setting}: NDCG@{K} {tried[setting]:.4f} after {seconds:.0f} s of training")
    return max(tried, key=lambda setting: tried[setting]), {str(setting): ndcg for setting, ndcg in tried.items()}


def ours(data: Gowalla, *, seconds: float, device: str) -> Clock:
    """Train on the part that is not validation until it no longer helps, or the seconds are over."""
    clock = Clock(most=seconds)
    context = RunContext(device=device, progress=clock, on_validation=clock.validated)
    with suppress(OutOfTime):
        fit(data.train, GOWALLA.model, CURVE, validation=data.validation, context=context)
    return clock


def peers(data: Gowalla, arguments: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    """Everybody in turn, the curves, and how many times sooner graphrecall is there."""
    python = environment(ENVIRONMENT)
    clock = ours(data, seconds=arguments.seconds, device="auto")
    curves = {"graphrecall": clock.curve}
    rows = [{**row("graphrecall", clock.best()), "setting": described(GOWALLA.model.dim, FAST)}]
    tried: dict[str, Any] = {}
    for name, peer in PEERS.items():
        setting, tried[name] = chosen_setting(
            python, name, data, seconds=arguments.seconds / SHORT, threads=arguments.threads
        )
        curves[name] = train_peer(
            python,
            peer.script,
            setting,
            data,
            seconds=arguments.seconds,
            snapshots=SNAPSHOTS,
            threads=arguments.threads,
        )
        best = max(curves[name], key=lambda point: point.ndcg)
        there = clock.reached(best.ndcg)
        rows.append(
            {
                **row(name, best),
                "setting": str(setting),
                "our_seconds": None if there is None else there.seconds,
                "times": None if there is None else round(arguments.seconds / there.seconds, 1),
            }
        )
        draw(curves, FOLDER / "training.png")
        record(
            "training_peers",
            rows,
            **facts,
            budget_seconds=arguments.seconds,
            validation_users=USERS,
            requirements=(HERE / f"{ENVIRONMENT}.txt").read_text().splitlines(),
            tried=tried,
            curves={name: [asdict(point) for point in curve] for name, curve in curves.items()},
        )


def row(model: str, best: Point) -> dict[str, Any]:
    return {"model": model, NDCG: best.ndcg, RECALL: best.recall, "seconds": best.seconds, "steps": best.step}


def described(dim: int, training: TrainingConfig) -> str:
    return f"{dim} columns, batch {training.batch_size:,}, learning rate {training.learning_rate:g}"


def draw(curves: Mapping[str, Sequence[Point]], path: Path) -> None:
    """NDCG on validation over seconds of training."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, curve in curves.items():
        x, y = [point.seconds for point in curve], [point.ndcg for point in curve]
        axes.plot(x, y, marker="o", markersize=3, linewidth=1.5, color=COLOURS[name], label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds of training")
    axes.set_ylabel(f"NDCG@{K} on validation")
    axes.set_title("LightGCN on gowalla", loc="left")
    axes.grid(color="#e3e8ed", linewidth=0.6)
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)


# --------------------------------------------------------------------------------------------------------- target


def target(data: Gowalla, arguments: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    """Find the steps on validation, train on all of train that long, and rank everybody on test."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    full = data.split.view(data.graph, "train", "valid")
    rows: list[dict[str, Any]] = []
    for device in devices:
        clock = Clock()
        context = RunContext(device=device, progress=clock, on_validation=clock.validated)
        embeddings = fit(data.train, GOWALLA.model, SEARCH, validation=data.validation, context=context)
        for seed in range(arguments.seeds):
            start = time.perf_counter()
            embeddings = fit(
                full,
                GOWALLA.model,
                SEARCH,
                steps=int(embeddings.facts["steps"]),
                beta=embeddings.beta,
                prior=embeddings.prior,
                context=RunContext(device=device, seed=seed),
            )
            whole = time.perf_counter() - start
            start = time.perf_counter()
            evaluation = on_test(data, full, embeddings, device)
            rows.append(
                {
                    "model": f"LightGCN, {described(GOWALLA.model.dim, FAST)}",
                    "device": torch.cuda.get_device_name(0) if device == "cuda" else f"{arguments.threads} CPU threads",
                    "seed": seed,
                    NDCG: evaluation.mean(NDCG),
                    RECALL: evaluation.mean(RECALL),
                    "paper_reached": "yes" if evaluation.mean(NDCG) >= PAPER else "no",
                    "steps": int(embeddings.facts["steps"]),
                    "training_seconds": embeddings.facts["seconds"],
                    "with_preparation_seconds": round(whole, 1),
                    "rank_all_seconds": round(time.perf_counter() - start, 1),
                    f"validation {NDCG}": clock.best().ndcg,
                    "search_seconds": clock.curve[-1].seconds,
                }
            )
            record("training_target", rows, **facts, paper={NDCG: PAPER}, users=len(evaluation.user))
    if "cuda" not in devices:
        print("no GPU here: only the CPU was measured")


def on_test(data: Gowalla, full: KnowledgeGraph, model: Embeddings, device: str) -> Evaluation:
    """All items ranked for everybody who has something in the published test part."""
    (group, *_) = user_groups(data.graph, data.split)
    interactions = full.interactions
    popularity = np.bincount(interactions.item[interactions.positive], minlength=len(full.items))
    tables = (model.query_vectors(model.users[group.user]), model.index_vectors)
    vectors = [torch.from_numpy(table).to(device) for table in tables]
    ranked = top_items(vectors[0], vectors[1], K, seen=group.seen)
    return evaluate(ranked, group, ks=(K,), popularity=popularity, num_users=len(full.users))


def main(argv: Sequence[str]) -> None:
    """Run the sections and keep their results."""
    sections = {"peers": peers, "target": target}
    parser = argparse.ArgumentParser(prog="python -m benchmarks training", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds gowalla/")
    parser.add_argument("--seconds", type=float, default=600, help="of training, for each peer")
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for everybody")
    parser.add_argument("--seeds", type=int, default=1, help="of the target")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    folder = arguments.data / "gowalla"
    facts = {
        "data": gowalla_data.checksums(folder),
        "threads": arguments.threads,
        "model": GOWALLA.model.model_dump(),
        "training": FAST.model_dump(),
    }
    data = Gowalla(folder)
    show("data", [{"training pairs": len(data.pairs()), "validation pairs": int(data.split.mask("valid").sum())}])
    for name in arguments.only:
        sections[name](data, arguments, facts)
