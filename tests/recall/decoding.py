"""Reads every file below a folder as what it is, and tells where something stands in it."""

from __future__ import annotations

import gzip
import html
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import ladybug
import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open


def places(folder: Path, needles: dict[str, bytes]) -> dict[str, set[str]]:
    """Where each needle is found: its name -> files, relative to the folder.

    Raises:
        AssertionError: there is a kind of file that nothing here decodes.
    """
    found: dict[str, set[str]] = {name: set() for name in needles}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        pieces = [str(relative).encode()]
        if path.is_symlink():
            pieces.append(str(path.readlink()).encode())
        elif path.is_file():
            pieces += decoded(path)
        for name, needle in needles.items():
            if any(needle in piece for piece in pieces):
                found[name].add(str(relative))
    return found


def decoded(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and whatever they hold when they are unpacked."""
    content = path.read_bytes()
    yield content
    name = path.name
    if name.endswith(".tmp") and (".json" in name or name.startswith(".key.")):  # half a text, of a killed writer
        return
    if not content:
        return
    if name.endswith(".parquet"):
        yield from _parquet(path)
    elif name.endswith(".safetensors"):
        yield from _safetensors(path)
    elif name.endswith(".faiss"):
        index = faiss.read_index(str(path))
        yield np.stack([index.reconstruct(at) for at in range(index.ntotal)]).tobytes()
    elif name.endswith(".lbug"):
        yield from _ladybug(path)
    elif name.endswith(".db"):
        with sqlite3.connect(path) as database:
            yield "\n".join(database.iterdump()).encode()
    elif name.endswith((".json", ".jsonl")):
        for line in content.decode().splitlines() if name.endswith(".jsonl") else [content.decode()]:
            yield "\n".join(_strings(json.loads(line))).encode()
    elif name.endswith((".html", ".prom")):
        yield html.unescape(content.decode()).encode()
    elif name.endswith(".gz"):
        yield gzip.decompress(content)
    elif not (name.endswith((".lock", ".toml")) or name == "key"):
        raise AssertionError(f"{path} is of a kind that this test does not decode: teach it")


def _parquet(path: Path) -> Iterator[bytes]:
    file = pq.ParquetFile(path)
    yield repr(file.metadata.to_dict()).encode()
    yield repr(file.schema_arrow.metadata).encode()
    yield json.dumps(file.read().to_pylist(), default=str, ensure_ascii=False).encode()


def _safetensors(path: Path) -> Iterator[bytes]:
    with safe_open(path, framework="numpy") as stored:
        yield repr(stored.metadata()).encode()
        for name in stored.keys():  # noqa: SIM118 (no iterator)
            tensor = stored.get_tensor(name)
            yield tensor.tobytes()
            if tensor.dtype.kind in "iu" and tensor.size:
                yield tensor[tensor < 256].astype(np.uint8).tobytes()


def _ladybug(path: Path) -> Iterator[bytes]:
    with ladybug.Database(str(path), read_only=True) as database:
        connection = ladybug.Connection(database)
        for query in ("MATCH (n) RETURN n", "MATCH (a)-[r]->(b) RETURN r"):
            answer = connection.execute(query)
            while answer.has_next():
                yield json.dumps(answer.get_next(), default=str, ensure_ascii=False).encode()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    else:
        yield str(value)
