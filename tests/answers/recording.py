"""What a run answers, as plain data, to be compared with what an earlier version of the code answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recall import Recommender

K = 10
FUSED = """
[pipeline]
channels = [
    "{model}", "ease", "item_knn", "rp3beta", "content_knn", "attribute_knn", "cheby", "spectral", "popularity",
]
[fusion.weights]
{model} = 0.4
ease = 0.1
item_knn = 0.1
rp3beta = 0.1
content_knn = 0.1
attribute_knn = 0.05
cheby = 0.05
spectral = 0.05
popularity = 0.05
"""


def answers_of(run: Path, *, users: int, pairs: int) -> dict[str, Any]:
    """Candidates, scores, shares, similar items and metrics of a run.

    Args:
        run: its folder.
        users: how many of its users are asked for, the first by id.
        pairs: how many of these are explained, each with the best candidate.
    """
    rec = Recommender.load(run)
    names = rec.graph.users.ids.to_pylist()[:users]
    best = rec.recommend(names, k=K)
    first = {row["user_id"]: row["item_id"] for row in best if row["rank"] == 1}
    liked = rec.graph.interactions
    history = [rec.graph.items.ids[int(item)].as_py() for item in liked.item[liked.positive][:4]]
    return {
        "recommend": _rows(best),
        "new_person": _rows(rec.recommend_for(history=history, k=K)),
        "text": _rows(rec.recommend_for(text="winter train", k=K)),
        "similar": [
            [row["item_id"], row["similar_id"], round(row["score"], 6)] for row in rec.similar(history[:2], k=K)
        ],
        "explain": [_shares(one.to_json()) for one in rec.explain(list(first.items())[:pairs])],
        "metrics": [
            {name: value for name, value in row.items() if name != "intervals"}
            for row in json.loads((run / "report.json").read_text(encoding="utf-8"))["evaluation"]["metrics"]
        ],
    }


def _rows(candidates: Any) -> list[list[Any]]:
    return [[row["user_id"], row["item_id"], round(row["score"], 6)] for row in candidates]


def _shares(explanation: Mapping[str, Any]) -> dict[str, Any]:
    sides = explanation["shares"] or {"history": [], "neighbours": []}
    return {
        "pair": [explanation["user_id"], explanation["item_id"]],
        "score": explanation["score"],
        "shares": [
            [reason["text"], round(reason["share"], 6)] for side in ("history", "neighbours") for reason in sides[side]
        ],
        "parts": [round(part["share"], 6) for part in explanation["parts"]],
        "paths": [path["text"] for path in explanation["paths"]],
        "paths_found": explanation["paths_found"],
    }
