"""The demo three times: from RDF, from RDF whose lines are in an order of chance, and from Neo4j.

All three are whole refreshes of the demo's recipe, and the table says how much of what comes out is the same.
"""

from __future__ import annotations

import gzip
import random
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.neo4j.run import ROOT
from kg.io.graph_folder import load_graph
from kg.stores.neo4j.write.load import load_into
from recall.config.deployment import RefreshConfig, load_config
from recall.config.sections import RunsSettings
from recall.jobs.refresh import refresh
from recall.runs.layout import RunLayout
from recall.runs.report import Report
from recall.serve.recommender import Recommender

if TYPE_CHECKING:
    from benchmarks.neo4j.run import Context

MOVIES = ROOT / "examples" / "movies"
USERS, K = 100, 100


def run(context: Context) -> list[dict[str, Any]]:
    """One row a source, each beside the run from RDF."""
    runs = RunsSettings(folder=context.folder / "runs", keep=3)
    demo = load_config(MOVIES / "demo.toml")
    neo4j = load_config(MOVIES / "neo4j.toml").model_copy(update={"neo4j": context.connection})
    rows: list[dict[str, Any]] = []
    first: RunLayout | None = None
    for name, config in (
        ("RDF", demo),
        ("RDF, lines shuffled", _shuffled(context.folder / "shuffled")),
        ("Neo4j", neo4j),
    ):
        start = time.perf_counter()
        # All three in one folder of runs, which keeps the text vectors.
        made = refresh(config.model_copy(update={"runs": runs}))
        # Only the first one has text vectors to make.
        seconds = time.perf_counter() - start - made.report.timings["encode"]
        rows.append({"source": name, **_facts(made.report), "seconds without texts": round(seconds, 1)})
        if first is None:
            first = made.run
            with context.open() as store:
                load_into(store, load_graph(first.graph))
        rows[-1] |= _beside(first, made.run)
        context.keep(rows)
    return rows


def _shuffled(folder: Path) -> RefreshConfig:
    """The demo's files with their lines in an order of chance, under the demo's configuration."""
    chance = random.Random(7)  # noqa: S311
    folder.mkdir()
    shutil.copy(MOVIES / "demo.toml", folder)
    for file in MOVIES.glob("*.gz"):
        lines = gzip.decompress(file.read_bytes()).decode().splitlines()
        header = 1 if ".csv" in file.name else 0
        rest = lines[header:]
        chance.shuffle(rest)
        (folder / file.name).write_bytes(gzip.compress("\n".join([*lines[:header], *rest, ""]).encode()))
    return load_config(folder / "demo.toml")


def _facts(report: Report) -> dict[str, Any]:
    data = report.data
    return {"nodes": sum(data.nodes.values()), "edges": sum(data.edges.values())}


def _beside(first: RunLayout, other: RunLayout) -> dict[str, Any]:
    """What of a run is what the first one has: tables, and candidates with their scores."""
    one, two = load_graph(first.graph), load_graph(other.graph)
    pairs = [(one.nodes[name], two.nodes.get(name)) for name in one.nodes]
    pairs += [(one.edges[key], two.edges.get(key)) for key in one.edges]
    equal = sum(there is not None and table.equals(there) for table, there in pairs)
    users = one.users.ids.to_pylist()[:USERS]
    wanted, others = (Recommender.load(run.path).recommend(users, k=K).table.to_pylist() for run in (first, other))
    ranks = {(row["user_id"], row["rank"]): (row["item_id"], row["score"]) for row in wanted}
    same = [ranks.get((row["user_id"], row["rank"])) for row in others]
    items = sum(there is not None and there[0] == row["item_id"] for there, row in zip(same, others, strict=True))
    scores = sum(there == (row["item_id"], row["score"]) for there, row in zip(same, others, strict=True))
    return {
        "equal tables": f"{equal} of {len(pairs)}",
        f"equal candidates, {USERS} users": f"{items} of {len(wanted)}",
        "equal scores": f"{scores} of {len(wanted)}",
    }
