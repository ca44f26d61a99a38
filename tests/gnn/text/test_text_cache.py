from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnn.text import cache as text_cache
from gnn.text.cache import SMALL_SHARDS, TextCache, text_keys
from gnn.text.encoder import TextConfig, TextEncoder
from kg.progress import SILENT, Progress


class Counting:
    """A real encoder, and what reached it."""

    def __init__(self, config: TextConfig | None = None, *, stop_after: int = 10**9) -> None:
        self.encoder = TextEncoder(config or TextConfig(precision="float32"), device="cpu")
        self.seen: list[str | None] = []
        self.stop_after = stop_after

    @property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    @property
    def space(self) -> str:
        return self.encoder.space

    @property
    def dim(self) -> int:
        return self.encoder.dim

    def encode(self, texts: Sequence[str | None], *, progress: Progress = SILENT) -> Any:
        if len(self.seen) >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += texts
        return self.encoder.encode(texts, progress=progress)


@pytest.fixture(scope="module")
def shared() -> Counting:
    return Counting()


@pytest.fixture
def counting(shared: Counting) -> Counting:
    shared.seen, shared.stop_after = [], 10**9
    return shared


def shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("shard-*.safetensors"))


def test_nothing_is_encoded_twice(tmp_path: Path, counting: Counting) -> None:
    cache = TextCache(tmp_path)
    texts = ["Heat", "", "Alien", "Heat", None, "  ", "Ran", "Alien", "Heat"]
    first = cache.encode(texts, counting)
    assert sorted(map(str, counting.seen)) == ["Alien", "Heat", "Ran"]
    np.testing.assert_allclose(first, counting.encoder.encode(texts), atol=2e-6)
    counting.seen = []
    np.testing.assert_array_equal(TextCache(tmp_path).encode(texts[::-1], counting), first[::-1])
    assert counting.seen == []
    cache.encode(["Ran", "Brazil"], counting)
    assert counting.seen == ["Brazil"]


def test_a_full_cache_needs_no_weights(tmp_path: Path, counting: Counting) -> None:
    TextCache(tmp_path).encode(["Heat", "Alien"], counting)
    fresh = Counting()
    TextCache(tmp_path).encode(["Alien"], fresh)
    assert fresh.encoder._loaded is None


def test_texts_that_differ_by_little_are_other_texts(tmp_path: Path, counting: Counting) -> None:
    TextCache(tmp_path).encode(["Heat", "heat", "Heat ", "He\u0301at", "H\u00e9at"], counting)
    assert len(counting.seen) == 5


def test_other_readings_of_a_model_share_nothing(tmp_path: Path, counting: Counting) -> None:
    cache = TextCache(tmp_path)
    long = "one two three four five six seven"
    whole = cache.encode([long], counting)
    short = Counting(TextConfig(precision="float32", max_length=4))
    cut = cache.encode([long], short)
    assert short.seen == [long]
    assert np.abs(whole - cut).max() > 0.01
    np.testing.assert_array_equal(cache.encode([long], counting), whole)


def test_keys_with_zero_bytes_stay_apart(tmp_path: Path) -> None:
    # NumPy's byte strings drop trailing zeros: digests that end in some must be matched, too.
    texts = [f"text {n}" for n in range(2_000)]
    assert any(hashlib.sha256(text.encode()).digest().endswith(b"\0") for text in texts)
    keys = np.sort(text_keys(texts))
    vectors = np.arange(len(keys) * 3, dtype=np.float32).reshape(-1, 3)
    cache = TextCache(tmp_path)
    cache.add("model", keys[::-1], vectors[::-1])
    stored_vectors, stored = cache.lookup("model", keys, dim=3)
    assert stored.all()
    np.testing.assert_array_equal(stored_vectors, vectors)
    _, strangers = cache.lookup("model", np.sort(text_keys(["another"])), dim=3)
    assert not strangers.any()


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_shard_is_set_aside_and_encoded_again(tmp_path: Path, counting: Counting, damage: str) -> None:
    cache = TextCache(tmp_path, shard_texts=2)
    texts = ["Heat", "Alien", "Ran", "Brazil"]
    whole = cache.encode(texts, counting)
    victim = shards(tmp_path)[0]
    content = bytearray(victim.read_bytes())
    content[-5] ^= 1
    victim.write_bytes({"flip": bytes(content), "truncate": bytes(content[:-100]), "empty": b""}[damage])
    counting.seen = []
    np.testing.assert_allclose(cache.encode(texts, counting), whole, atol=2e-6)
    assert len(counting.seen) == 2
    assert victim.with_suffix(".damaged").exists()
    counting.seen = []
    np.testing.assert_allclose(cache.encode(texts, counting), whole, atol=2e-6)
    assert counting.seen == []


def test_an_interruption_keeps_finished_shards(tmp_path: Path, counting: Counting) -> None:
    cache = TextCache(tmp_path, shard_texts=2)
    texts = ["Heat", "Alien", "Ran", "Brazil", "Seven"]
    counting.stop_after = 4
    with pytest.raises(KeyboardInterrupt):
        cache.encode(texts, counting)
    assert len(shards(tmp_path)) == 2
    done, counting.seen, counting.stop_after = set(counting.seen), [], 10**9
    cache.encode(texts, counting)
    assert set(counting.seen) == set(texts) - done
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]


def test_progress_counts_what_is_encoded(tmp_path: Path, counting: Counting) -> None:
    class Task:
        steps = 0

        def __enter__(self) -> Task:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

        def note(self, text: str) -> None:
            pass

    class Listener:
        def __init__(self) -> None:
            self.tasks: list[tuple[int | None, Task]] = []

        def task(self, description: str, *, total: int | None = None) -> Any:
            self.tasks.append((total, Task()))
            return self.tasks[-1][1]

    listener = Listener()
    TextCache(tmp_path, shard_texts=2).encode(["Heat", "Alien", "Ran", "Heat"], counting, progress=listener)
    assert [(total, task.steps) for total, task in listener.tasks] == [(3, 3)]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from gnn.text import cache as text_cache
from gnn.text.cache import SMALL_SHARDS, TextCache, text_keys

folder, number = Path(sys.argv[1]), int(sys.argv[2])
cache = TextCache(folder)
for part in range(20):
    # Half of the texts are the other writer's too.
    texts = [f"shared {part}", f"own {number} {part}"]
    keys = text_keys(texts)
    cache.add("model", keys, np.array([[part, 0], [part, number]], dtype=np.float32))
    cache.lookup("model", np.sort(keys), dim=2)
"""


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in (1, 2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    texts = [f"shared {part}" for part in range(20)] + [f"own {n} {part}" for n in (1, 2) for part in range(20)]
    keys = text_keys(texts)
    order = np.argsort(keys)
    vectors, stored = TextCache(tmp_path).lookup("model", keys[order], dim=2)
    assert stored.all()
    expected = [[part, 0] for part in range(20)] + [[part, n] for n in (1, 2) for part in range(20)]
    np.testing.assert_array_equal(vectors, np.array(expected, dtype=np.float32)[order])
    assert not list(tmp_path.rglob("*.damaged"))


def test_only_the_texts_that_are_wanted_stay_in_any_model(tmp_path: Path) -> None:
    cache = TextCache(tmp_path)
    texts = [f"text {number}" for number in range(30)]
    keys = text_keys(texts)
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    for model, width in (("one", 4), ("two", 3)):
        cache.add(model, keys[:10], vectors[:10, :width])
        cache.add(model, keys[10:20], vectors[10:20, :width])
        cache.add(model, keys[20:], vectors[20:, :width])
    (tmp_path / "one" / "shard-old.damaged").write_bytes(b"text 3")
    (tmp_path / "two" / "shard-0000.safetensors").write_bytes(b"half a shard")
    untouched = {path.name for path in tmp_path.glob("*/*")}
    wanted = [*range(10), 12, 13]
    assert cache.keep_only(text_keys(["never encoded", *(texts[number] for number in wanted)])) == 2 * 18
    for model, width in (("one", 4), ("two", 3)):
        order = np.argsort(keys)
        stored_vectors, stored = cache.lookup(model, keys[order], dim=width)
        assert sorted(order[stored].tolist()) == wanted
        np.testing.assert_array_equal(stored_vectors[stored], vectors[order[stored], :width])
    left = {path.name for path in tmp_path.glob("*/*")}
    assert len(left & untouched) == 2  # one shard of each model lost nothing
    assert all(name.startswith("shard-") and name.endswith(".safetensors") for name in left)
    assert "shard-0000.safetensors" not in left
    assert cache.keep_only(text_keys([texts[number] for number in wanted])) == 0
    assert TextCache(tmp_path / "none").keep_only(keys) == 0


def test_shards_of_many_refreshes_are_merged_and_nothing_is_encoded_again(tmp_path: Path, counting: Counting) -> None:
    texts = [f"refresh {number}" for number in range(2 * SMALL_SHARDS + 3)]
    for text in texts:
        TextCache(tmp_path).encode([text], counting)
    assert len(shards(tmp_path)) <= SMALL_SHARDS
    counting.seen = []
    vectors = TextCache(tmp_path).encode(texts, counting)
    assert counting.seen == []
    np.testing.assert_allclose(vectors, counting.encoder.encode(texts), atol=2e-6)


def many_shards(cache: TextCache, count: int) -> tuple[Any, Any]:
    """One shard a text, and one that has all of the first half once more; keys and vectors of all."""
    keys = np.sort(text_keys([f"text {number}" for number in range(count)]))
    vectors = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    for at in range(count):
        cache.add("model", keys[at : at + 1], vectors[at : at + 1])
    cache.add("model", keys[: count // 2], vectors[: count // 2])
    return keys, vectors


def test_each_text_is_once_in_the_merged_shards_and_large_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = TextCache(tmp_path)
    keys, vectors = many_shards(cache, 40)
    size = max(path.stat().st_size for path in shards(tmp_path))
    monkeypatch.setattr(text_cache, "MERGED_BYTES", 2 * size)
    large = [path for path in shards(tmp_path) if path.stat().st_size == size]
    cache.merge("model", dim=3)
    assert 1 < len(shards(tmp_path)) < 20
    assert large[0] in shards(tmp_path)
    monkeypatch.undo()
    for _ in range(SMALL_SHARDS):  # the same content again: its name is that of what is there
        cache.add("model", keys, vectors)
        cache.merge("model", dim=3)
    found, stored = cache.lookup("model", keys, dim=3)
    assert stored.all()
    np.testing.assert_array_equal(found, vectors)


@pytest.mark.parametrize("step", range(4))
def test_a_merge_that_is_cut_off_loses_no_vector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    cache = TextCache(tmp_path)
    keys, vectors = many_shards(cache, 20)
    before = len(shards(tmp_path))
    done = 0

    def cut(real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal done
            done += 1
            if done > step:
                raise KeyboardInterrupt
            return real(*arguments, **more)

        return call

    with monkeypatch.context() as patch:  # the flush of the new shard, its name, and the ends of the old ones
        patch.setattr(Path, "replace", cut(Path.replace))
        patch.setattr(Path, "unlink", cut(Path.unlink))
        with pytest.raises(KeyboardInterrupt):
            cache.merge("model", dim=3)
    found, stored = TextCache(tmp_path).lookup("model", keys, dim=3)
    assert stored.all()
    np.testing.assert_array_equal(found, vectors)
    assert len(shards(tmp_path)) == before + (step > 0) - max(step - 2, 0)


def test_shards_that_are_merged_while_they_are_read_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TextCache(tmp_path)
    keys, vectors = many_shards(cache, 20)
    read, reads = text_cache._read, []

    def merged_meanwhile(path: Path, dim: int | None) -> Any:
        reads.append(path)
        if len(reads) == 1:
            TextCache(tmp_path).merge("model", dim=3)
        return read(path, dim)

    monkeypatch.setattr(text_cache, "_read", merged_meanwhile)
    found, stored = cache.lookup("model", keys, dim=3)
    assert stored.all()
    np.testing.assert_array_equal(found, vectors)


def test_a_disk_too_full_to_merge_stops_no_refresh(
    tmp_path: Path, counting: Counting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = TextCache(tmp_path)
    for number in range(SMALL_SHARDS):
        cache.encode([f"text {number}"], counting)

    def full(self: TextCache, fingerprint: str, group: Sequence[Path], dim: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TextCache, "_merge", full)
    assert cache.encode(["one more"], counting).any()
    assert "are not merged: [Errno 28]" in caplog.text
