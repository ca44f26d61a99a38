"""A run as files that other programs read: embeddings by id, and the graph as tables, RDF or GraphML."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph
from kg.errors import ArtifactError
from kg.graph import node_columns
from kg.io.files import publish_folder, write_json
from kg.io.graph_folder import load_graph
from kg.io.parquet import write_table
from kg.io.removal import remove_trees
from kg.progress import SILENT, Progress
from recall.runs.layout import RunLayout
from recall.serve.loading import vector_models
from recall.serve.recommender import Recommender
from recall.serve.vectors import Vectors, inner_product_vectors

Format = Literal["parquet", "rdf", "graphml"]


def export_run(
    run: RunLayout, out: Path, *, formats: Sequence[Format] = ("parquet",), progress: Progress = SILENT
) -> dict[str, int]:
    """Write a run's embeddings and graph into a new folder, which appears whole or not at all.

    The embeddings are those of the first channel that has vectors of all nodes, or else of the first whose score is an
    inner product (`recall.contracts.InnerProduct`); without one only the graph is written.

    Args:
        run: a published run; its checksums are compared first.
        out: folder to make; an empty one is fine.
        formats: of the graph.
        progress: listener.

    Returns:
        File name below `out` -> bytes.

    Raises:
        ArtifactError: the run is damaged, or `out` holds something.
    """
    out = out.absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} is there already and not empty: name a new folder")
    with run.hold():  # nobody removes it meanwhile
        run.verify()
        graph = load_graph(run.graph, verify=False)
        models = [Embeddings.load(folder) for folder in vector_models(run).values()]
        products = None if models else inner_product_vectors(Recommender.of_run(run, verify=False, graph=graph))
    staging = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        with progress.task("exporting", total=1 + len(set(formats))) as task:
            for embeddings in models[:1]:
                write_embeddings(graph, embeddings, staging / "embeddings")
            if products is not None:
                write_vectors(graph, products, staging / "embeddings")
            task.advance()
            for name in dict.fromkeys(formats):
                _write_graph(graph, staging / "graph", name)
                task.advance()
        if out.exists():
            out.rmdir()
        publish_folder(staging, out)
    finally:
        remove_trees([staging])
    return {str(path.relative_to(out)): path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}


def write_embeddings(graph: KnowledgeGraph, embeddings: Embeddings, folder: Path) -> None:
    """One Parquet file a node type: `id`, `embedding` (a list of `dim` float32), and for items `scale` and `prior`.

    The score of a user and an item is the inner product of their embeddings times the item's scale, plus the item's
    prior times the length of the user's embedding. A vector store that ranks by inner product wants `scale * embedding`
    with `prior` as one more column for its items, and for its users the embedding with its length as one more.

    Raises:
        ArtifactError: the embeddings belong to another graph.
    """
    embeddings.check_graph(graph)
    for name in graph.nodes:
        rows = np.ascontiguousarray(embeddings.final[embeddings.numbering.span(name)])
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), embeddings.dim)
        columns = {"id": graph.vocabulary(name).ids, "embedding": vectors}
        if name == embeddings.item_type:
            columns["scale"] = pa.array(embeddings.item_scale)
            columns["prior"] = pa.array(embeddings.item_prior)
        write_table(pa.table(columns), folder / f"{_file_name(name)}.parquet")


def write_vectors(graph: KnowledgeGraph, vectors: Mapping[str, Vectors], folder: Path) -> None:
    """A Parquet file of the users and one of the items: `id` and `embedding`; their inner product is the score."""
    names = {"users": graph.schema.user_type, "items": graph.schema.item_type}
    for role, of_role in vectors.items():
        rows = np.ascontiguousarray(of_role.matrix)
        columns = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        table = pa.table({"id": of_role.ids, "embedding": columns})
        write_table(table, folder / f"{_file_name(names[role])}.parquet")


def tables_by_id(graph: KnowledgeGraph) -> tuple[dict[str, Any], dict[str, Any]]:
    """The graph's tables with ids in place of positions: nodes by type, edges by `source.relation.target`."""
    edges = {}
    for key, table in graph.edges.items():
        for column, node_type in node_columns(graph.schema, key).items():
            ids = graph.vocabulary(node_type).take(table[column].to_numpy())
            table = table.set_column(table.column_names.index(column), column, ids)
        edges[f"{key.source}.{key.name}.{key.target}"] = table
    return dict(graph.nodes), edges


def _write_graph(graph: KnowledgeGraph, folder: Path, name: Format) -> None:
    if name == "rdf":
        from kg.io.rdf import write_ntriples

        folder.mkdir(parents=True, exist_ok=True)
        write_ntriples(graph, folder / "graph.nt")
    elif name == "graphml":
        from kg.io.views import write_graphml

        folder.mkdir(parents=True, exist_ok=True)
        write_graphml(graph, folder / "graph.graphml")
    else:
        nodes, edges = tables_by_id(graph)
        for kind, tables in (("nodes", nodes), ("edges", edges)):
            for title, table in tables.items():
                write_table(table, folder / kind / f"{_file_name(title)}.parquet")
        write_json(folder / "schema.json", graph.schema.to_json())


def _file_name(name: str) -> str:
    """A type's name as a file name; what is no letter, digit, dot or dash becomes `_`, so no name leaves the folder."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "unnamed"
