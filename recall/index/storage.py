"""A FAISS index as files: index.faiss, index.json, and vectors.npy and rows where they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from kg.errors import ArtifactError
from kg.io.files import atomic_path, read_json, write_json
from recall.index.kinds import LISTED, NAMES, FloatArray, stored_vectors
from recall.index.rows import Rows

_FORMAT = 1
_ROWS = "rows.npz"


def write_index(
    index: Any, vectors: FloatArray, folder: Path, *, rows: Rows | None, kind: str, facts: dict[str, Any]
) -> None:
    """Write an index into a folder.

    Args:
        index: of FAISS.
        vectors: of the items, float32 (items, dim).
        folder: made if it is not there.
        rows: which rows stand for which items; None: each for its own.
        kind: of the index.
        facts: what index.json says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "index.faiss") as temporary:
        faiss.write_index(index, str(temporary))
    if kind in LISTED or (rows is not None and kind == "hnsw"):
        with atomic_path(folder / "vectors.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, vectors, allow_pickle=False)
    if rows is not None:
        with atomic_path(folder / _ROWS) as temporary, temporary.open("wb") as stream:
            np.savez(stream, removed=rows.removed, item=rows.item)
    write_json(folder / "index.json", {"format": _FORMAT, **facts, "changed": rows is not None})


def read_index(folder: Path) -> tuple[Any, FloatArray, Rows | None, dict[str, Any]]:
    """The index, the vectors of its items, its rows and its facts, mapped into memory.

    Raises:
        ArtifactError: a file is missing or damaged, or the parts do not belong together.
    """
    facts = read_json(folder / "index.json")
    path = folder / "index.faiss"
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT or facts.get("metric") != "inner_product":
        raise ArtifactError(f"{folder / 'index.json'} is of another format: build the index again")
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        rows = _rows(folder / _ROWS) if facts.get("changed") else None
        kind = facts["kind"]
        apart = kind in LISTED or (rows is not None and kind == "hnsw")
        vectors = np.load(folder / "vectors.npy", mmap_mode="r") if apart else stored_vectors(index)
        expected = {name: facts[name] for name in ("kind", "metric", "dim", "count")}
        for name in ("parameters", "recall", "fingerprint"):
            facts[name]
    except (RuntimeError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    count = index.ntotal if rows is None else len(rows.removed)
    actual = {
        "kind": NAMES.get(type(index).__name__, type(index).__name__),
        "metric": "inner_product" if index.metric_type == faiss.METRIC_INNER_PRODUCT else index.metric_type,
        "dim": int(vectors.shape[1]),
        "count": count,
    }
    if wrong := [name for name, value in actual.items() if expected[name] != value]:
        raise ArtifactError(
            f"{path} does not belong to its index.json: {wrong[0]} is {actual[wrong[0]]!r}, "
            f"not {facts[wrong[0]]!r}; build the index again"
        )
    left = count if rows is None else len(rows.left)
    stored = left if kind in LISTED else index.ntotal
    if len(vectors) != count or index.ntotal != stored or (rows is not None and _strange(rows, index, kind)):
        raise ArtifactError(f"the vectors of {path} are not those it was built from: build the index again")
    return index, vectors, rows, facts


def _rows(path: Path) -> Rows:
    with np.load(path, allow_pickle=False) as arrays:
        return Rows(arrays["removed"].astype(bool), arrays["item"].astype(np.int64))


def _strange(rows: Rows, index: Any, kind: str) -> bool:
    """Whether rows name items that are not there, or are more or fewer than FAISS holds."""
    if kind not in LISTED and len(rows.item) != index.ntotal:
        return True
    return bool(len(rows.item)) and (rows.item.max() >= len(rows.removed) or rows.item.min() < -1)
