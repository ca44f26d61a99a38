"""The graph on disk: one Parquet file a table, and graph.json with the schema, counts and checksums."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kg.errors import ArtifactError, GraphRecallError
from kg.graph import KnowledgeGraph
from kg.io.files import checksum, digest, publish_folder, read_json, temporary_beside, write_json
from kg.io.parquet import read_table, write_table
from kg.io.removal import remove_trees
from kg.schema import RelationKey, Schema

INDEX = "graph.json"
FORMAT_VERSION = 1


def save_graph(graph: KnowledgeGraph, folder: Path) -> None:
    """Write a graph into a folder that does not exist or is empty; it appears whole or not at all.

    File names are a number and a slug of the type's name, so that no name can leave the folder or meet another one
    that differs in case only; graph.json says which file is which.

    Raises:
        ArtifactError: the folder holds something.
    """
    from kg import __version__

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder} is not empty: save the graph into a new folder")
    staging = temporary_beside(folder)
    try:
        staging.mkdir(parents=True)
        nodes = [
            {"type": name, **_write(staging, f"nodes-{number:03d}-{_slug(name)}.parquet", table)}
            for number, (name, table) in enumerate(graph.nodes.items())
        ]
        edges = [
            {"key": list(key), **_write(staging, f"edges-{number:03d}-{_slug(key.name)}.parquet", table)}
            for number, (key, table) in enumerate(graph.edges.items())
        ]
        repeats = [
            {"key": list(key), **_write(staging, f"repeats-{number:03d}-{_slug(key.name)}.parquet", table)}
            for number, (key, table) in enumerate(graph.repeats.items())
        ]
        body = {
            "format_version": FORMAT_VERSION,
            "library_version": __version__,
            "schema": graph.schema.to_json(),
            "nodes": nodes,
            "edges": edges,
            "repeats": repeats,
        }
        write_json(staging / INDEX, {**body, "digest": digest(body)})
        if folder.exists():
            folder.rmdir()
        publish_folder(staging, folder)
    finally:
        remove_trees([staging])


def load_graph(folder: Path, *, verify: bool = True) -> KnowledgeGraph:
    """Read what `save_graph` wrote; executes no code.

    Args:
        folder: the graph's.
        verify: compare the checksum of every file. They detect damage, not forgery. A caller that has compared those of
            the whole run need not do it again.

    Raises:
        ArtifactError: a file is missing, changed or of other counts, or the format version is another.
    """
    index = _index(folder)
    try:
        schema = Schema.from_json(index["schema"])
        nodes = {entry["type"]: _read(folder, entry, verify) for entry in index["nodes"]}
        edges, repeats = (
            {RelationKey(*entry["key"]): _read(folder, entry, verify) for entry in index.get(tables, [])}
            for tables in ("edges", "repeats")
        )
        return KnowledgeGraph(schema, nodes, edges, repeats)
    except ArtifactError:
        raise
    except (GraphRecallError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / INDEX} does not describe a graph: {error}") from error


def load_schema(folder: Path) -> Schema:
    """The schema of a saved graph, without its tables.

    Raises:
        ArtifactError: it is missing, damaged or of another format version.
    """
    try:
        return Schema.from_json(_index(folder)["schema"])
    except ArtifactError:
        raise
    except (GraphRecallError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / INDEX} does not describe a graph: {error}") from error


def _index(folder: Path) -> dict[str, Any]:
    index = read_json(folder / INDEX)
    if not isinstance(index, dict):
        raise ArtifactError(f"{folder / INDEX} is damaged: it holds no object")
    version = index.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder / INDEX} has format version {version}, this graphrecall reads {FORMAT_VERSION}: "
            "build the graph again with this version"
        )
    if digest({key: value for key, value in index.items() if key != "digest"}) != index.get("digest"):
        raise ArtifactError(f"{folder / INDEX} is damaged: its own digest does not match")
    return index


def _write(folder: Path, name: str, table: Any) -> dict[str, Any]:
    write_table(table, folder / name)
    return {"file": name, "rows": int(table.num_rows), "sha256": checksum(folder / name)}


def _read(folder: Path, entry: dict[str, Any], verify: bool) -> Any:
    name = entry["file"]
    path = folder / name
    if Path(name).name != name:
        raise ArtifactError(f"{folder / INDEX} names the file {name!r}, which is not in its folder")
    if not path.is_file():
        raise ArtifactError(f"{path} is missing")
    if verify and checksum(path) != entry["sha256"]:
        raise ArtifactError(f"{path} is damaged: its checksum differs from the one in {INDEX}")
    table = read_table(path)
    if table.num_rows != entry["rows"]:
        raise ArtifactError(f"{path} has {table.num_rows} rows, {INDEX} says {entry['rows']}")
    return table


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "unnamed"
