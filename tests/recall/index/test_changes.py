"""Items added, replaced and removed in place, against brute force over what is left."""

from __future__ import annotations

import numpy as np
import pytest

import recall.index.item_index
from kg import RaggedArray
from kg.errors import ArtifactError, InvalidDataError
from recall.index.build import build_index
from recall.index.exact import vectors_fingerprint
from recall.index.item_index import ItemIndex
from recall.index.settings import IndexConfig

KINDS = ("flat", "ivf", "hnsw", "sq", "pq")


def made(kind: str, count: int = 2000, dim: int = 12) -> ItemIndex:
    """An index that looks at everything, so that only what changed can be wrong."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(count, dim)).astype(np.float32)
    if kind == "flat":
        return build_index(vectors)
    config = IndexConfig(exact_up_to=0, kinds=(kind,), target_recall=0.01, measured_at=10, sample=20)
    index = build_index(vectors, config)
    assert index.kind == kind
    if kind == "hnsw":
        index.parameters["ef"] = 600
    else:
        index.parameters |= {"probes": index.parameters["lists"], "refine": 60}
    return index


def expected(vectors: np.ndarray, gone: set[int], queries: np.ndarray, k: int) -> np.ndarray:
    scores = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    scores[:, sorted(gone)] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.fixture(params=[True, False], ids=["scored directly", "by the index"])
def _subset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall.index.item_index, "_SUBSET", 100_000 if request.param else 50)


@pytest.mark.usefixtures("_subset")
@pytest.mark.parametrize("kind", KINDS)
def test_many_changes_are_those_of_a_list(kind: str) -> None:
    random = np.random.default_rng(1)
    index = made(kind)
    vectors, gone = np.array(index.vectors), set[int]()
    queries = random.normal(size=(25, 12)).astype(np.float32)
    for step in range(12):
        if step % 3 == 0:
            fresh = random.normal(size=(7, 12)).astype(np.float32) * 2
            assert index.add(fresh).tolist() == list(range(len(vectors), len(vectors) + 7))
            vectors = np.concatenate([vectors, fresh])
        elif step % 3 == 1:
            items = random.permutation(len(vectors))[:40]
            fresh = random.normal(size=(40, 12)).astype(np.float32) * 2
            index.replace(items, fresh)
            vectors[items] = fresh
            gone -= set(items.tolist())
        else:
            items = random.permutation(len(vectors))[:60]
            index.remove(items)
            gone |= set(items.tolist())
        top = index.search(queries, 10)
        truth = expected(vectors, gone, queries, 10)
        assert not set(top.items.ravel().tolist()) & gone
        found = np.mean([len(set(a) & set(b)) for a, b in zip(top.items, truth, strict=True)]) / 10
        assert found == 1.0 if kind in ("flat", "ivf") else found > 0.97
        only = np.sort(random.permutation(len(vectors))[:900])
        exclude = RaggedArray.from_lists([np.sort(random.permutation(len(vectors))[:30]) for _ in range(25)])
        chosen = index.search(queries, 5, only=only, exclude=exclude).items
        assert set(chosen[chosen >= 0].tolist()) <= set(only.tolist()) - gone
        assert not exclude.contains(chosen).any()
    assert index.facts["items"] == len(vectors) - len(gone)
    assert len(index) == len(vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_index_is_saved_loaded_and_changed_again(kind: str, tmp_path) -> None:
    index = made(kind)
    index.remove(np.array([5, 7]))
    index.replace(np.array([3]), np.full((1, 12), 9, dtype=np.float32))
    index.add(np.full((1, 12), 8, dtype=np.float32))
    index.save(tmp_path)
    loaded = ItemIndex.load(tmp_path)
    query = np.ones((1, 12), dtype=np.float32)
    assert loaded.search(query, 3).items.tolist() == index.search(query, 3).items.tolist()
    assert loaded.search(query, 2).items.tolist() == [[3, 2000]]
    loaded.replace(np.array([5]), np.full((1, 12), 10, dtype=np.float32))
    loaded.remove(np.array([3]))
    assert loaded.search(query, 2).items.tolist() == [[5, 2000]]
    assert index.search(query, 2).items.tolist() == [[3, 2000]]  # the file was copied, not written
    assert ItemIndex.load(tmp_path).search(query, 2).items.tolist() == [[3, 2000]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_removed_item_scores_nothing_and_the_fingerprint_is_of_what_is_there(kind: str) -> None:
    index = made(kind)
    before = index.fingerprint
    index.remove(np.array([4]))
    assert index.fingerprint != before
    assert index.fingerprint == vectors_fingerprint(index.vectors)
    query = np.ones((1, 12), dtype=np.float32)
    assert index.scores(query, np.array([[4]])).tolist() == [[0.0]]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_removed_leaves_nothing_to_find(kind: str) -> None:
    index = made(kind)
    index.remove(np.arange(len(index)))
    top = index.search(np.ones((2, 12), dtype=np.float32), 3)
    assert (top.items == -1).all()
    assert index.measured(np.ones((2, 12), dtype=np.float32), 3) == 0.0 or kind == "flat"
    index.replace(np.array([11]), np.ones((1, 12), dtype=np.float32))
    assert index.search(np.ones((1, 12), dtype=np.float32), 3).items.tolist() == [[11, -1, -1]]


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_changes_that_cannot_be_are_refused_and_change_nothing(kind: str) -> None:
    index = made(kind, count=100)
    before = index.fingerprint
    ones = np.ones((1, 12), dtype=np.float32)
    for call, message in (
        (lambda: index.add(np.ones((1, 11), dtype=np.float32)), "11 columns"),
        (lambda: index.add(np.full((1, 12), np.nan, dtype=np.float32)), "finite"),
        (lambda: index.replace(np.array([100]), ones), "there are 100 items"),
        (lambda: index.replace(np.array([1, 1]), np.ones((2, 12), dtype=np.float32)), "twice"),
        (lambda: index.replace(np.array([1, 2]), ones), "2 positions and 1 vectors"),
        (lambda: index.remove(np.array([-1])), "there are 100 items"),
    ):
        with pytest.raises(InvalidDataError, match=message):
            call()
    assert index.fingerprint == before
    assert index.facts["items"] == 100


def test_damaged_rows_are_refused(tmp_path) -> None:
    index = made("hnsw")
    index.replace(np.array([3]), np.ones((1, 12), dtype=np.float32))
    index.save(tmp_path)
    with np.load(tmp_path / "rows.npz") as arrays:
        removed, item = arrays["removed"], arrays["item"]
    np.savez(tmp_path / "rows.npz", removed=removed, item=item[:-1])
    with pytest.raises(ArtifactError, match="not those it was built from"):
        ItemIndex.load(tmp_path)
    (tmp_path / "rows.npz").write_bytes(b"no array")
    with pytest.raises(ArtifactError, match="cannot be read"):
        ItemIndex.load(tmp_path)
