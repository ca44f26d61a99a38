"""Nodes that stand between one user and items, such as reviews and orders, are traces of users too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.report import QualityReport
from ingest.settings import GraphSettings
from kg.arrays import IntArray, RaggedArray
from kg.schema import Event, RelationKey


def fold_reified(
    tables: dict[RelationKey, Any],
    events: dict[RelationKey, Event],
    ids: Mapping[str, Any],
    settings: GraphSettings,
    report: QualityReport,
) -> None:
    """Make the edges of nodes between users and items events, in place.

    A node of several items must lead to them: items that share what only one user is linked to, such as a town, say
    nothing about that user. Their edges to the item get the user as a column and an event, so that splits cover them;
    their edges to the user say nothing more and go.

    Args:
        tables: relation -> edges by position.
        events: of relations that are traces of users.
        ids: node type -> ids.
        settings: roles.
        report: findings.
    """
    user, item = settings.user, settings.item
    for name in [n for n in ids if n not in (user, item)]:
        to_user = [k for k in tables if {k.source, k.target} == {name, user} and k not in events]
        to_item = [k for k in tables if {k.source, k.target} == {name, item} and k not in events]
        if not to_user or not to_item:
            continue
        users_of, items_of = (
            RaggedArray.from_pairs(
                *(np.concatenate(side) for side in zip(*(_pair(tables[k], k, name) for k in keys), strict=True)),
                num_rows=len(ids[name]),
            )
            for keys in (to_user, to_item)
        )
        several = items_of.counts.max(initial=0) > 1
        if users_of.counts.max(initial=0) > 1 or (several and any(k.target == name for k in to_item)):
            continue
        owner = np.full(len(ids[name]), -1, dtype=np.int64)
        owner[users_of.rows()] = users_of.values
        for key in to_item:
            middle, _ = _pair(tables[key], key, name)
            owners = owner[middle]
            table = tables[key].append_column("user", pa.array(owners))
            report.add(
                "events of nobody",
                int((owners < 0).sum()),
                f"{name} nodes without a {user}: their edges are left out",
                severity="warning",
            )
            tables[key] = table.filter(pa.array(owners >= 0))
            events[key] = Event("user", "dst" if key.target == item else "src")
        for key in to_user:
            report.add(
                "user edges of events",
                tables[key].num_rows,
                "nodes between one user and items are traces of the user: kept as the column `user`",
                [str(key)],
            )
            del tables[key]


def _pair(table: Any, key: RelationKey, name: str) -> tuple[IntArray, IntArray]:
    """Positions of the `name` end and of the other end of each edge."""
    ends = ("src", "dst") if key.source == name else ("dst", "src")
    return table[ends[0]].to_numpy(), table[ends[1]].to_numpy()
