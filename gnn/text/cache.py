"""Text vectors on disk, so that no text is encoded twice.

The key of a vector is the sha256 of its text and the fingerprint of its encoder. A shard is added as a whole or not at
all, under a name that contains the checksum of its content, and never changed: damage is noticed, and processes may
write at the same time. Where small shards pile up they are merged: the new one is on disk before the old ones go, so
that a kill costs no vector, and a process that looks for one that went finds the new one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from kg.io.files import atomic_path
from kg.progress import SILENT, Progress, Task

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
Keys = npt.NDArray[np.bytes_]

MERGED_BYTES = 64 << 20  # of a merged shard, about; half of it is no small one any more
SMALL_SHARDS = 8  # that may lie beside each other

_KEY = "S32"  # NumPy ignores trailing zero bytes in comparisons, which changes nothing among strings of one length


class Encoder(Protocol):
    """What the cache needs of `gnn.text.encoder.TextEncoder`."""

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides a text's vector."""

    @property
    def space(self) -> str:
        """Digest that is the same for comparable vectors."""

    @property
    def dim(self) -> int:
        """Columns of the vectors."""

    def encode(self, texts: Sequence[str | None], *, progress: Progress = SILENT) -> FloatArray:
        """Unit vectors, zero for blank texts, (n, dim)."""


class _Nested:
    """A progress that counts all its tasks into one that is open already."""

    def __init__(self, outer: Task) -> None:
        self.outer = outer

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Task]:
        yield self.outer


class TextCache:
    """A folder of vectors, for any number of models, texts and processes.

    Args:
        folder: where the shards are; made at the first write.
        shard_texts: texts encoded between two writes, at most so many are lost by an interruption.
    """

    def __init__(self, folder: Path, *, shard_texts: int = 2_048) -> None:
        self.folder = folder
        self.shard_texts = shard_texts

    def encode(self, texts: Sequence[str | None], encoder: Encoder, *, progress: Progress = SILENT) -> FloatArray:
        """Vectors of texts, encoding only those that no shard holds, each once.

        Args:
            texts: (n,); blank and missing ones get a zero vector.
            encoder: makes the missing vectors; its weights are not loaded when none is missing.
            progress: of encoded texts.

        Returns:
            float32 (n, dim).
        """
        result = np.zeros((len(texts), encoder.dim), dtype=np.float32)
        filled = np.array([row for row, text in enumerate(texts) if text and not text.isspace()], dtype=np.int64)
        if not len(filled):
            return result
        keys, first, inverse = np.unique(
            text_keys([texts[row] or "" for row in filled]), return_index=True, return_inverse=True
        )
        fingerprint = encoder.fingerprint
        vectors, stored = self.lookup(fingerprint, keys, dim=encoder.dim)
        missing = np.flatnonzero(~stored)
        lengths = np.array([len(texts[row] or "") for row in filled[first[missing]]], dtype=np.int64)
        missing = missing[np.argsort(-lengths, kind="stable")]  # shards of like lengths waste no padding
        with progress.task("encoding texts", total=len(missing)) as task:
            for start in range(0, len(missing), self.shard_texts):
                part = missing[start : start + self.shard_texts]
                vectors[part] = encoder.encode([texts[row] for row in filled[first[part]]], progress=_Nested(task))
                self.add(fingerprint, keys[part], vectors[part])
        if len(missing):
            try:
                self.merge(fingerprint, dim=encoder.dim)
            except OSError as error:  # it takes room for one more shard on the way
                logger.warning("text cache: the shards in %s are not merged: %s", self.folder / fingerprint, error)
        result[filled] = vectors[inverse]
        return result

    def lookup(self, fingerprint: str, keys: Keys, *, dim: int) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Read vectors from the shards of a model.

        Args:
            fingerprint: of the encoder.
            keys: sorted and unique, (n,).
            dim: columns.

        Returns:
            Vectors, float32 (n, dim), zero rows where there is none; and which are stored, bool (n,).
        """
        vectors = np.zeros((len(keys), dim), dtype=np.float32)
        stored = np.zeros(len(keys), dtype=bool)
        seen: set[Path] = set()
        # A second look: another process may have merged some meanwhile.
        while not stored.all() and (paths := sorted(set(self._shards(fingerprint)) - seen)):
            seen.update(paths)
            for path in paths:
                if stored.all():
                    break
                shard = _read(path, dim)
                if shard is None:
                    continue
                place = np.minimum(np.searchsorted(keys, shard[0]), len(keys) - 1)
                hit = keys[place] == shard[0]
                vectors[place[hit]] = shard[1][hit]
                stored[place[hit]] = True
        return vectors, stored

    def _shards(self, fingerprint: str) -> list[Path]:
        return sorted((self.folder / fingerprint).glob("shard-*.safetensors"))

    def add(self, fingerprint: str, keys: Keys, vectors: FloatArray) -> Path:
        """Write one shard: keys (n,) and their vectors (n, dim); returns its file."""
        tensors: dict[str, Any] = {
            "keys": np.frombuffer(keys.astype(_KEY).tobytes(), dtype=np.uint8).reshape(-1, 32),
            "vectors": np.ascontiguousarray(vectors, dtype=np.float32),
        }
        content = save(tensors)
        digest = hashlib.sha256(content).hexdigest()[:32]
        target = self.folder / fingerprint / f"shard-{digest}.safetensors"
        with atomic_path(target) as temporary:
            temporary.write_bytes(content)
        return target

    def merge(self, fingerprint: str, *, dim: int) -> None:
        """Make a few large shards of a model out of many small ones, each text once.

        Args:
            fingerprint: of the encoder.
            dim: columns.

        Raises:
            OSError: the disk is full; nothing is lost.
        """
        sizes = {path: size for path in self._shards(fingerprint) if (size := _size(path)) < MERGED_BYTES // 2}
        if len(sizes) <= SMALL_SHARDS:
            return
        group: list[Path] = []
        for path in sorted(sizes, key=lambda path: (sizes[path], path)):
            group.append(path)
            if sum(sizes[member] for member in group) >= MERGED_BYTES:
                self._merge(fingerprint, group, dim)
                group = []
        self._merge(fingerprint, group, dim)

    def _merge(self, fingerprint: str, group: Sequence[Path], dim: int) -> None:
        shards = {path: shard for path in group if (shard := _read(path, dim)) is not None}
        if len(shards) < 2:
            return
        keys, first = np.unique(np.concatenate([keys for keys, _ in shards.values()]), return_index=True)
        merged = self.add(fingerprint, keys, np.concatenate([vectors for _, vectors in shards.values()])[first])
        for path in shards:
            if path != merged:  # the same content as one of them has its name
                path.unlink(missing_ok=True)

    def keep_only(self, keys: Keys) -> int:
        """Remove the vectors of all other texts, of every model, and the shards set aside as damaged.

        Args:
            keys: of the texts that stay, (n,).

        Returns:
            The number of removed vectors.
        """
        removed = 0
        for damaged in self.folder.glob("*/*.damaged"):
            damaged.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("*/shard-*.safetensors")):
            shard = _read(path, None)
            if shard is None:
                path.with_suffix(".damaged").unlink(missing_ok=True)
                continue
            stays = np.isin(shard[0], keys)
            if stays.all():
                continue
            if stays.any():  # first the new shard: a kill between the two loses nothing
                self.add(path.parent.name, shard[0][stays], shard[1][stays])
            path.unlink(missing_ok=True)
            removed += int((~stays).sum())
        return removed


def text_keys(texts: Sequence[str]) -> Keys:
    """sha256 of each text, (n,)."""
    return np.frombuffer(b"".join(hashlib.sha256(text.encode()).digest() for text in texts), dtype=_KEY)


def _size(path: Path) -> int:
    """Bytes of a file; 0 when another process has moved it."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _read(path: Path, dim: int | None) -> tuple[Keys, FloatArray] | None:
    """A shard's keys and vectors, of any width for None; a damaged one is set aside, and None comes back."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # another process has moved it
        return None
    if hashlib.sha256(content).hexdigest()[:32] == path.stem.removeprefix("shard-"):
        tensors = load(content)
        keys, vectors = tensors["keys"], tensors["vectors"]
        if keys.shape == (len(vectors), 32) and dim in (None, vectors.shape[1]):
            return np.frombuffer(keys.tobytes(), dtype=_KEY), vectors
    aside = path.with_suffix(".damaged")
    logger.warning("text cache: %s is damaged; it is set aside as %s and its texts are encoded again", path, aside.name)
    with suppress(OSError):  # another process has moved it, or the folder is read-only
        path.replace(aside)
    return None
