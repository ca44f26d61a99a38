"""External ids and their positions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.arrays import IntArray
from kg.errors import InvalidDataError, UnknownIdError

FEW = 16


class Vocabulary:
    """The ids of one node type; the position of an id is its index everywhere inside.

    Attributes:
        name: node type, for messages.
        ids: Arrow string array, unique, (n,).
    """

    def __init__(self, name: str, ids: Any) -> None:
        self.name = name
        array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
        self.ids: Any = (
            pa.array(array, type=pa.string()) if not isinstance(array, pa.Array) else array.cast(pa.string())
        )

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, ids: Iterable[str] | Any, *, missing: str = "raise") -> IntArray:
        """Integers of external ids.

        Args:
            ids: strings, or an Arrow array of strings, (n,).
            missing: "raise" or "negative" (an id that is not there gives -1).

        Returns:
            int64 (n,).

        Raises:
            UnknownIdError: an id is not there and `missing` is "raise"; the message names the first ones.
            InvalidDataError: `ids` is no list of strings.
        """
        if isinstance(ids, str):
            raise InvalidDataError(f"a list of {self.name} ids is expected, not the string {ids!r}")
        try:
            wanted = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(list(ids), type=pa.string())
        except pa.ArrowException as error:
            raise InvalidDataError(f"{self.name} ids are strings: {error}") from error
        result: IntArray
        if len(wanted) <= FEW:
            # a scan for each id; index_in would first hash the whole vocabulary
            names = wanted.cast(pa.string()).to_pylist()
            places = [-1 if name is None else pc.index(self.ids, name).as_py() for name in names]
            result = np.array(places, dtype=np.int64)
        else:
            places = pc.index_in(wanted.cast(pa.string()), value_set=self.ids)
            result = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        if missing == "raise" and (result < 0).any():
            unknown = [wanted[int(i)].as_py() for i in np.flatnonzero(result < 0)[:5]]
            raise UnknownIdError(f"unknown {self.name} id: {self._describe(unknown)}")
        return result

    def _describe(self, unknown: list[str | None]) -> str:
        parts = []
        for name in unknown:
            near = get_close_matches(str(name), self.ids.slice(0, 50_000).to_pylist(), n=1, cutoff=0.8)
            parts.append(f"{name!r}" + (f" (nearest: {near[0]!r})" if near else ""))
        return ", ".join(parts)

    def take(self, index: IntArray) -> Any:
        """External ids (Arrow strings) of integers; -1 gives null."""
        index = np.asarray(index, dtype=np.int64)
        return self.ids.take(pa.array(index, mask=index < 0))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the ids in their order: two artifacts with the same one are about the same nodes."""
        digest = hashlib.sha256()
        for chunk in (self.ids.slice(start, 65_536) for start in range(0, len(self.ids), 65_536)):
            # The length first: "a\\nb" must not look like "a" and "b".
            encoded = map(str.encode, chunk.to_pylist())
            digest.update(b"".join([b"%d:%b" % (len(name), name) for name in encoded]))
        return digest.hexdigest()[:32]


def stable_hash(ids: Any, seed: int) -> npt.NDArray[np.uint64]:
    """64-bit hashes of strings, independent of the other ids, the platform and the order, (n,).

    Splits and masks are drawn from these, so that adding an item moves no other to another part.
    """
    key = seed.to_bytes(8, "little", signed=True)
    values = ids.to_pylist() if hasattr(ids, "to_pylist") else list(ids)
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in values)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def pair_hash(
    users: Vocabulary, items: Vocabulary, user: IntArray, item: IntArray, seed: int
) -> npt.NDArray[np.uint64]:
    """64-bit hashes of pairs of a user and an item by their external ids, (n,).

    Args:
        users: ids of the users.
        items: ids of the items.
        user: positions, (n,).
        item: positions, (n,).
        seed: another one gives other hashes.
    """
    mixed = _hash_of(users, user, seed) ^ (_hash_of(items, item, seed + 1) * np.uint64(0x9E3779B97F4A7C15))
    # One round of splitmix64 (Steele et al. 2014): two hashes joined by xor alone would share their high bits.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


def _hash_of(names: Vocabulary, index: IntArray, seed: int) -> npt.NDArray[np.uint64]:
    """The stable hash of each id that occurs."""
    occurs = np.zeros(len(names), dtype=bool)
    occurs[index] = True
    hashes = np.zeros(len(names), dtype=np.uint64)
    hashes[occurs] = stable_hash(names.ids.filter(pa.array(occurs)), seed)
    result: npt.NDArray[np.uint64] = hashes[index]
    return result
