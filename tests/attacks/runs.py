"""Runs and runs folders as somebody hostile would make them, and with a manifest that lists what is there."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from kg.io.files import MANIFEST, digest, read_json, write_json, write_manifest


def listed(run: Path) -> Path:
    """A run whose manifest lists what is in it now, as anybody can write one."""
    write_manifest(run, {"created": "2026-01-31", "fingerprint": "0" * 64, "metrics": {}})
    return run


def changed_store(run: Path) -> Path:
    """A run whose database was changed, and its manifest was not."""
    store = run / "store" / "graph.lbug"
    content = bytearray(store.read_bytes())
    content[len(content) // 2] ^= 1
    store.write_bytes(content)
    return run


def linked_out(run: Path, elsewhere: Path) -> Path:
    """A run one of whose files is a link to a file of another place."""
    file = run / "report.html"
    file.unlink()
    file.symlink_to(elsewhere)
    return listed(run)


def linked_folder(run: Path, elsewhere: Path) -> Path:
    """A run one of whose inner folders is a link to another place that has the same files."""
    folder = run / "graph"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    return listed(run)


def manifest_with(run: Path, name: str) -> Path:
    """A run whose manifest lists a file of another place."""
    listed(run)
    manifest = read_json(run / MANIFEST)
    body = {key: value for key, value in manifest.items() if key != "digest"}
    body["files"] = {**body["files"], name: "0" * 64}
    write_json(run / MANIFEST, {**body, "digest": digest(body)})
    return run


def index_with(run: Path, name: str) -> Path:
    """A run whose index of the graph names a file of another place."""
    file = run / "graph" / "graph.json"
    body = {key: value for key, value in read_json(file).items() if key != "digest"}
    body["nodes"][0]["file"] = name
    write_json(file, {**body, "digest": digest(body)})
    return listed(run)


def deep_config(run: Path) -> Path:
    """A run whose configuration is lists in lists."""
    (run / "config.json").write_text("[" * 1_000_000 + "]" * 1_000_000)
    return listed(run)


def huge_tensors(run: Path, *, header: int | None = None) -> Path:
    """A run whose safetensors say that they are larger than any memory, in their header or by its length."""
    for file in run.rglob("*.safetensors"):
        if header is not None:
            file.write_bytes(struct.pack("<Q", header) + b"{}")
            continue
        content = {"embeddings": {"dtype": "F32", "shape": [1 << 40, 1 << 10], "data_offsets": [0, 1 << 52]}}
        text = json.dumps(content).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text)
    return listed(run)


def huge_index(run: Path, *, claim: int = 1 << 40) -> Path:
    """A run whose FAISS indexes say that they hold very many vectors: their numbers of 64 bits are replaced."""
    for file in run.rglob("*.faiss"):
        content = bytearray(file.read_bytes())
        # Behind the four letters of the kind: dimension (32 bits), number of vectors (64 bits).
        content[8:16] = struct.pack("<q", claim)
        file.write_bytes(content)
    return listed(run)
