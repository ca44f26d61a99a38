"""The paths behind the scores of the walk, each with its exact share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray
from kg.topology.adjacency import Numbering
from kg.topology.walk import WalkPaths
from recall.channels.walk.steps import StepType
from recall.contracts import StepPaths


def step_paths(
    kind: StepType,
    items: IntArray,
    ages: npt.NDArray[np.float64],
    item: int,
    *,
    weight: float,
    strength: float,
    numbering: Numbering,
    item_type: str,
) -> StepPaths | None:
    """The paths of one type of step from the items of a history to one.

    Args:
        kind: the type.
        items: positions where the walk starts, (n,).
        ages: how much each counts, (n,).
        item: position where it ends.
        weight: of the type in the score.
        strength: the same for people, see `StepPaths.weight`.
        numbering: of all nodes.
        item_type: name of the items' type.

    Returns:
        None where there are no paths.
    """
    paths = kind.step.paths(items, item)
    if not len(paths.row):
        return None
    return StepPaths(
        name=kind.name,
        kind=kind.kind,
        weight=strength,
        shape=kind.shape,
        nodes=_nodes(kind, items, paths, item, numbering, item_type),
        values=ages[paths.row] * paths.values * weight,
    )


def _nodes(
    kind: StepType, items: IntArray, paths: WalkPaths, item: int, numbering: Numbering, item_type: str
) -> IntArray:
    """Global numbers of the nodes on each path."""
    first = numbering.span(item_type).start
    between = [key.target if forward else key.source for key, forward in kind.shape[:-1]]
    starts = [numbering.span(node_type).start for node_type in between]
    columns = [items[paths.row] + first]
    columns += [paths.middle[:, at] + start for at, start in enumerate(starts[: paths.middle.shape[1]])]
    columns.append(np.full(len(paths.row), item + first))
    return np.stack(columns, axis=1)
