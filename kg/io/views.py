"""The graph, or the neighbourhood of a node, for NetworkX, and as GraphML for drawing tools."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kg.arrays import IntArray, places
from kg.errors import ConfigError, InvalidDataError
from kg.graph import KnowledgeGraph, column
from kg.io.files import atomic_path
from kg.schema import RelationKey
from kg.topology.adjacency import Adjacency

# What XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_networkx(graph: KnowledgeGraph) -> Any:
    """The whole graph as a `networkx.MultiDiGraph`; for graphs that fit in Python objects, some 1 kB an edge.

    Nodes are `(node type, id)`, edges have the relation's name as their key (repeated edges of one relation between
    the same nodes: "rated", "rated#2", ...). Columns become attributes, missing values are left out; the user of an
    edge with an event column of its own is given by id.
    """
    everything = {name: np.arange(graph.num_nodes(name)) for name in graph.nodes}
    return _view(graph, everything, {key: np.arange(table.num_rows) for key, table in graph.edges.items()})


def neighbourhood(
    graph: KnowledgeGraph,
    node_type: str,
    id: str,
    *,
    depth: int = 1,
    max_nodes: int = 200,
    max_neighbours: int = 50,
    adjacency: Adjacency | None = None,
) -> Any:
    """What lies within some hops of a node, as a `networkx.MultiDiGraph` like that of `to_networkx`.

    The search goes breadth first along the edges that paths walk on (positive interactions only), against their
    direction too. From each node it goes on to at most `max_neighbours` nodes under each relation, those with the
    most edges, ties to the smaller number; and it stops at `max_nodes` nodes, where those reached from earlier nodes
    and relations come first. All such edges between the nodes it has are in the view.

    `graph.graph` records `centre`, `depth`, `max_nodes`, `max_neighbours`, and whether something was left out for
    them: `capped_neighbours` (the nodes whose neighbours were capped) and `capped_nodes` (how many nodes were reached
    beyond `max_nodes`).

    Args:
        graph: where to look.
        node_type: type of the node in the middle.
        id: its external id.
        depth: hops, at least 0.
        max_nodes: most nodes, at least 1.
        max_neighbours: most neighbours of one node under one relation, at least 1.
        adjacency: of this graph, when the caller has one; building it costs more than the search.

    Raises:
        UnknownIdError: there is no such node.
        InvalidDataError: there is no such node type.
        ConfigError: a limit is out of range.
    """
    for name, value, least in (
        ("depth", depth, 0),
        ("max_nodes", max_nodes, 1),
        ("max_neighbours", max_neighbours, 1),
    ):
        if value < least:
            raise ConfigError(f"{name} = {value} must be at least {least}")
    if node_type not in graph.nodes:
        raise InvalidDataError(f"there is no node type {node_type!r}: the graph has {', '.join(graph.nodes)}")
    position = int(graph.vocabulary(node_type).index([id])[0])
    walk = Adjacency.of(graph) if adjacency is None else adjacency
    numbering = walk.numbering
    nodes = np.array([numbering.span(node_type).start + position], dtype=np.int64)
    frontier, capped, beyond = nodes, [], 0
    for _ in range(depth):
        reached = []
        for node in frontier.tolist():
            neighbours, cut = _nearest(walk, node, max_neighbours)
            reached.append(neighbours)
            if cut:
                capped.append(node)
        candidates = _first_seen(np.concatenate([np.zeros(0, dtype=np.int64), *reached]))
        candidates = candidates[~np.isin(candidates, nodes)]
        frontier = candidates[: max_nodes - len(nodes)]
        beyond += len(candidates) - len(frontier)
        nodes = np.concatenate([nodes, frontier])
        if not len(frontier):
            break
    kept = {}
    for name in numbering.names:
        span = numbering.span(name)
        kept[name] = np.sort(nodes[(nodes >= span.start) & (nodes < span.stop)]) - span.start
    rows = {key: _rows_between(graph, key, kept) for key in walk.relations}
    view = _view(graph, {name: positions for name, positions in kept.items() if len(positions)}, rows)
    view.graph.update(
        centre=(node_type, id),
        depth=depth,
        max_nodes=max_nodes,
        max_neighbours=max_neighbours,
        capped_neighbours=[_key(graph, *numbering.locate(node)) for node in capped],
        capped_nodes=beyond,
    )
    return view


def write_graphml(graph: KnowledgeGraph | Any, path: Path) -> None:
    """Write a graph, or a NetworkX view of one, as GraphML.

    GraphML knows neither lists nor missing values nor tuples as names: nodes are called n0, n1, ... and carry
    `node_type` and `id`, edges carry `relation`; lists and other nested values become JSON text, dates ISO text,
    missing values are left out, and characters that XML cannot hold become U+FFFD.
    """
    import networkx as nx

    source = to_networkx(graph) if isinstance(graph, KnowledgeGraph) else graph
    plain = nx.MultiDiGraph()
    plain.graph.update(_plain_attributes(source.graph))
    names = {node: f"n{number}" for number, node in enumerate(source.nodes)}
    for (node_type, id), attributes in source.nodes(data=True):
        own = {"node_type": _plain(node_type), "id": _plain(id)}
        plain.add_nodes_from([(names[node_type, id], {**_plain_attributes(attributes), **own})])
    for number, (start, end, relation, attributes) in enumerate(source.edges(keys=True, data=True)):
        own = {"relation": _plain(relation)}
        plain.add_edges_from([(names[start], names[end], f"e{number}", {**_plain_attributes(attributes), **own})])
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        nx.write_graphml_xml(plain, stream)


def _view(graph: KnowledgeGraph, nodes: Mapping[str, IntArray], edges: Mapping[RelationKey, IntArray]) -> Any:
    """A MultiDiGraph of some positions of the node tables and some rows of the edge tables."""
    import networkx as nx

    view = nx.MultiDiGraph()
    keys: dict[str, dict[int, tuple[str, str]]] = {}
    for name, positions in nodes.items():
        records = graph.nodes[name].take(pa.array(positions)).to_pylist()
        keys[name] = {at: (name, record["id"]) for at, record in zip(positions.tolist(), records, strict=True)}
        view.add_nodes_from(
            ((name, record["id"]), {k: v for k, v in record.items() if k != "id" and v is not None})
            for record in records
        )
    for key, rows in edges.items():
        event = graph.schema.relations[key].event
        repeated: Counter[tuple[int, int]] = Counter()
        for record in graph.edges[key].take(pa.array(rows)).to_pylist():
            ends = record["src"], record["dst"]
            repeated[ends] += 1
            if event is not None and event.user not in ("src", "dst"):
                record[event.user] = graph.users.ids[record[event.user]].as_py()
            name = key.name if repeated[ends] == 1 else f"{key.name}#{repeated[ends]}"
            attributes = {k: v for k, v in record.items() if k not in ("src", "dst") and v is not None}
            start, end = keys[key.source][ends[0]], keys[key.target][ends[1]]
            # Not add_edge(**attributes): a column may be called like one of its parameters.
            view.add_edges_from([(start, end, name, attributes)])
    return view


def _nearest(adjacency: Adjacency, node: int, limit: int) -> tuple[IntArray, bool]:
    """Neighbours of a node by relation, at most `limit` under each, and whether some were left out."""
    at = adjacency.at(node)
    neighbours, relation = adjacency.neighbour[at], adjacency.relation[at]
    edges = adjacency.offsets[neighbours + 1] - adjacency.offsets[neighbours]
    order = np.lexsort((neighbours, -edges, relation))
    neighbours, relation = neighbours[order], relation[order]
    # Both directions of one relation may lead to the same neighbour, next to each other after the sort.
    fresh = np.ones(len(neighbours), dtype=bool)
    fresh[1:] = (neighbours[1:] != neighbours[:-1]) | (relation[1:] != relation[:-1])
    neighbours, relation = neighbours[fresh], relation[fresh]
    chosen: npt.NDArray[np.bool_] = places(relation) < limit
    return neighbours[chosen], not bool(chosen.all())


def _first_seen(values: IntArray) -> IntArray:
    """Distinct values in the order of their first occurrence."""
    return values[np.sort(np.unique(values, return_index=True)[1])]


def _rows_between(graph: KnowledgeGraph, key: RelationKey, kept: Mapping[str, IntArray]) -> IntArray:
    table = graph.edges[key]
    source, target = np.zeros(graph.num_nodes(key.source), bool), np.zeros(graph.num_nodes(key.target), bool)
    source[kept[key.source]] = True
    target[kept[key.target]] = True
    inside = source[column(table, "src")] & target[column(table, "dst")]
    if key == graph.schema.interaction:
        inside &= graph.schema.positive.mask(table)
    return np.flatnonzero(inside)


def _key(graph: KnowledgeGraph, node_type: str, position: int) -> tuple[str, str]:
    return node_type, graph.vocabulary(node_type).ids[position].as_py()


def _plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {_clean(str(name)): _plain(value) for name, value in attributes.items() if value is not None}


def _plain(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list | tuple | dict):
        return _clean(json.dumps(value, ensure_ascii=False, default=str))
    return _clean(value.isoformat() if hasattr(value, "isoformat") else str(value))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
