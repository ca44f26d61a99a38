"""The index against brute force in float64, its choice of kind, and its files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recall.index.item_index
from kg import RaggedArray
from kg.errors import ArtifactError, ConfigError, InvalidDataError
from recall.index.build import build_index
from recall.index.exact import vectors_fingerprint
from recall.index.item_index import ItemIndex
from recall.index.kinds import LISTED, bytes_a_vector
from recall.index.settings import IndexConfig


def brute_force(vectors, queries, k, exclude=None, only=None):
    scores = (queries.astype(np.float64) @ vectors.T.astype(np.float64)).astype(np.float32)
    if only is not None:
        scores[:, np.setdiff1d(np.arange(len(vectors)), only)] = -np.inf
    for row in range(len(queries) if exclude is not None else 0):
        scores[row, exclude[row]] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    items = np.full((len(queries), k), -1)
    items[:, : order.shape[1]] = np.where(np.take_along_axis(scores, order, axis=1) > -np.inf, order, -1)
    return items


def lists_of(rows, rng, count, most):
    sizes = rng.integers(0, most + 1, size=rows)
    pairs = [(row, item) for row in range(rows) for item in rng.choice(count, size=sizes[row], replace=False)]
    row, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return RaggedArray.from_pairs(row, item, num_rows=rows)


def clustered(count, dim, seed):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(200, dim))
    vectors = centres[rng.integers(200, size=count)] + 0.5 * rng.normal(size=(count, dim))
    length = rng.gamma(3.0, 0.2, size=(count, 1)) + 0.5  # popular items have longer vectors
    queries = centres[rng.integers(200, size=300)] + centres[rng.integers(200, size=300)]
    return (vectors * length).astype(np.float32), queries.astype(np.float32)


@pytest.fixture(scope="module", params=["flat", "ivf", "hnsw", "sq", "pq"])
def each_kind(request):
    vectors, queries = clustered(6000, 16, seed=1)
    if request.param == "flat":
        return build_index(vectors), vectors, queries[:40]
    config = IndexConfig(exact_up_to=100, kinds=(request.param,), target_recall=0.9, measured_at=20)
    index = build_index(vectors, config, queries=queries)
    assert index.kind == request.param
    return index, vectors, queries[:40]


class TestExact:
    @settings(max_examples=60)
    @given(
        st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.booleans()
    )
    def test_equals_brute_force_with_ties(self, count, k, seed, with_exclude, with_only, many):
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-1, 2, size=(count * (8 if many else 1), 3)).astype(np.float32)
        queries = rng.integers(-2, 3, size=(4, 3)).astype(np.float32)
        exclude = lists_of(4, rng, len(vectors), len(vectors)) if with_exclude else None
        only = rng.choice(len(vectors), size=rng.integers(0, len(vectors) + 1)) if with_only else None
        top = build_index(vectors).search(queries, k, exclude=exclude, only=only)
        np.testing.assert_array_equal(top.items, brute_force(vectors, queries, k, exclude, only))
        np.testing.assert_array_equal(top.items < 0, np.isinf(top.scores))

    def test_a_tie_across_the_edge_goes_to_the_lower_positions(self):
        vectors = np.ones((5000, 4), dtype=np.float32)
        vectors[3000] *= 2
        top = build_index(vectors).search(np.ones((2, 4), dtype=np.float32), 3)
        np.testing.assert_array_equal(top.items, [[3000, 0, 1]] * 2)

    def test_heavy_users_do_not_lose_items(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(4000, 8)).astype(np.float32)
        queries = rng.normal(size=(3, 8)).astype(np.float32)
        exclude = RaggedArray.from_pairs(np.ones(3995, dtype=np.int64), np.arange(3995), num_rows=3)
        top = build_index(vectors).search(queries, 10, exclude=exclude)
        np.testing.assert_array_equal(top.items, brute_force(vectors, queries, 10, exclude))
        assert (top.items[1] >= 0).sum() == 5

    def test_a_batch_and_single_requests_give_the_same(self, monkeypatch):
        rng = np.random.default_rng(3)
        vectors, queries = rng.normal(size=(900, 24)).astype("f4"), rng.normal(size=(70, 24)).astype("f4")
        exclude = lists_of(70, rng, 900, 300)
        index = build_index(vectors)
        whole = index.search(queries, 15, exclude=exclude)
        monkeypatch.setattr(recall.index.item_index, "BLOCK_SCORES", 2000)
        for row in range(70):
            one = index.search(queries[[row]], 15, exclude=exclude.take(np.array([row])))
            np.testing.assert_array_equal(one.items[0], whole.items[row])
            np.testing.assert_array_equal(one.scores[0], whole.scores[row])

    def test_no_items_and_no_queries(self):
        empty = build_index(np.zeros((0, 4), dtype=np.float32))
        assert (empty.search(np.ones((2, 4), dtype=np.float32), 3).items == -1).all()
        index = build_index(np.ones((5, 4), dtype=np.float32))
        assert index.search(np.zeros((0, 4), dtype=np.float32), 3).items.shape == (0, 3)


class TestEveryKind:
    def test_finds_what_the_target_promises(self, each_kind):
        index, vectors, queries = each_kind
        top = index.search(queries, 20)
        truth = brute_force(vectors, queries, 20)
        found = np.mean([len(set(top.items[row]) & set(truth[row])) / 20 for row in range(len(queries))])
        assert found >= (1.0 if index.kind == "flat" else 0.85)
        assert index.recall >= (1.0 if index.kind == "flat" else 0.9)

    def test_scores_are_exact_and_sorted(self, each_kind):
        index, vectors, queries = each_kind
        top = index.search(queries, 20)
        exact = np.einsum("nkd,nd->nk", vectors[top.items].astype("f8"), queries.astype("f8"))
        np.testing.assert_allclose(top.scores, exact, rtol=1e-6)
        assert (np.diff(top.scores, axis=1) <= 0).all()
        assert all(len(set(row)) == 20 for row in top.items)

    def test_excluded_items_never_come_back_and_k_are_found(self, each_kind):
        index, _, queries = each_kind
        plain = index.search(queries, 30)
        exclude = RaggedArray.from_pairs(
            np.repeat(np.arange(len(queries)), 25), plain.items[:, :25].ravel(), num_rows=len(queries)
        )
        top = index.search(queries, 20, exclude=exclude)
        assert (top.items >= 0).all()
        for row in range(len(queries)):
            assert not set(top.items[row]) & set(exclude[row])

    @pytest.mark.parametrize("subset", [10, 10**9])
    def test_candidates_only(self, each_kind, monkeypatch, subset):
        monkeypatch.setattr(recall.index.item_index, "_SUBSET", subset)  # scored directly, or filtered inside FAISS
        index, vectors, queries = each_kind
        only = np.random.default_rng(0).choice(len(vectors), size=3000, replace=False)
        top = index.search(queries, 20, only=only)
        truth = brute_force(vectors, queries, 20, only=only)
        assert np.isin(top.items, only).all()
        assert np.mean([len(set(top.items[row]) & set(truth[row])) / 20 for row in range(len(queries))]) > 0.8

    def test_more_than_there_are(self, each_kind):
        index, vectors, queries = each_kind
        exclude = RaggedArray.from_pairs(
            np.zeros(len(vectors) - 7, dtype=np.int64), np.arange(len(vectors) - 7), num_rows=1
        )
        top = index.search(queries[:1], 20, exclude=exclude)
        assert set(top.items[0]) == {*range(len(vectors) - 7, len(vectors)), -1}

    def test_loads_as_it_was_saved(self, each_kind, tmp_path):
        index, vectors, queries = each_kind
        index.save(tmp_path)
        loaded = ItemIndex.load(tmp_path)
        np.testing.assert_array_equal(loaded.vectors, vectors)
        for name in ("kind", "parameters", "recall", "fingerprint", "dim"):
            assert getattr(loaded, name) == getattr(index, name)
        before, after = index.search(queries, 20), loaded.search(queries, 20)
        np.testing.assert_array_equal(after.items, before.items)
        np.testing.assert_array_equal(after.scores, before.scores)

    def test_threads_share_it(self, each_kind):
        index, _, queries = each_kind
        alone = [index.search(queries[[row]], 10).items for row in range(len(queries))]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda row: index.search(queries[[row]], 10).items, range(len(queries))))
        np.testing.assert_array_equal(np.concatenate(together), np.concatenate(alone))


class TestChoice:
    def test_200_000_vectors_are_searched_approximately_within_the_target(self):
        vectors, queries = clustered(200_000, 32, seed=0)
        index = build_index(vectors, IndexConfig(target_recall=0.95, measured_at=20), queries=queries[:200])
        assert index.kind == "ivf"
        fresh = queries[200:]
        exact = np.partition(fresh @ vectors.T, -20, axis=1)[:, -20]
        top = index.search(fresh, 20)
        found = (top.scores >= exact[:, None] - 1e-3).mean()
        assert found >= 0.93, f"recall {found:.3f} on queries that were not used for the choice"
        assert index.parameters["probes"] <= index.parameters["lists"] // 4

    @pytest.mark.soak
    def test_200_000_vectors_by_hnsw(self):
        vectors, queries = clustered(200_000, 32, seed=0)
        config = IndexConfig(kinds=("hnsw",), target_recall=0.9, measured_at=20)
        index = build_index(vectors, config, queries=queries[:200])
        assert index.kind == "hnsw"
        exact = np.partition(queries[200:] @ vectors.T, -20, axis=1)[:, -20]
        assert (index.search(queries[200:], 20).scores >= exact[:, None] - 1e-3).mean() >= 0.88

    def test_vectors_of_very_different_lengths_are_found_in_few_lists(self):
        """As of popularity: one direction that all share, and lengths with a long tail."""
        rng = np.random.default_rng(0)
        centres, columns = rng.normal(size=(200, 32)) + 1.0, np.arange(1, 33) ** -0.5

        def drawn(count):
            return (centres[rng.integers(200, size=count)] + 0.4 * rng.normal(size=(count, 32))) * columns

        vectors = (drawn(20_000) * rng.lognormal(0, 0.5, (20_000, 1))).astype(np.float32)
        config = IndexConfig(exact_up_to=0, kinds=("ivf",), target_recall=0.95)
        index = build_index(vectors, config, queries=drawn(300).astype(np.float32))
        assert index.kind == "ivf"
        assert index.parameters["probes"] <= index.parameters["lists"] // 7

    def test_a_higher_target_costs_more_probes(self):
        vectors, queries = clustered(6000, 16, seed=2)
        low, high = (
            build_index(
                vectors,
                IndexConfig(exact_up_to=0, kinds=("ivf",), target_recall=target, measured_at=20),
                queries=queries,
            )
            for target in (0.4, 0.95)
        )
        assert low.parameters["probes"] < high.parameters["probes"]

    def test_stays_exact_when_no_kind_reaches_the_target(self):
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(3000, 64)).astype(np.float32)  # without clusters, inverted lists hardly help
        index = build_index(vectors, IndexConfig(exact_up_to=10, kinds=("ivf",), target_recall=1.0))
        assert index.kind == "flat"
        assert index.recall == 1.0

    @pytest.mark.parametrize(("limit", "kind"), [(None, "ivf"), (100, "ivf"), (30, "sq"), (12.5, "pq")])
    def test_memory_decides_between_kinds(self, limit, kind):
        """Of 16 columns a whole vector takes 72 bytes in a list, one of a byte a column 24, codes 12."""
        vectors, queries = clustered(6000, 16, seed=3)
        memory = None if limit is None else limit * len(vectors) / 2**20
        config = IndexConfig(exact_up_to=100, target_recall=0.8, measured_at=20, memory_mib=memory)
        index = build_index(vectors, config, queries=queries)
        assert index.kind == kind
        assert index.recall >= 0.8
        assert index.bytes_a_vector == bytes_a_vector(kind, 16, config)

    def test_what_is_small_but_too_large_for_the_memory_is_not_exact(self):
        vectors, queries = clustered(3000, 16, seed=3)
        config = IndexConfig(target_recall=1.0, measured_at=20, memory_mib=30 * 3000 / 2**20)
        index = build_index(vectors, config, queries=queries)
        assert index.kind in ("sq", "pq")  # none finds all: the one that finds most serves
        assert 0.9 < index.recall <= 1

    def test_no_kind_fits_the_memory(self):
        vectors, _ = clustered(3000, 16, seed=3)
        with pytest.raises(ConfigError, match=r"3,000 vectors of 16 columns fits index.memory_mib = 0.01"):
            build_index(vectors, IndexConfig(memory_mib=0.01))

    def test_codes_of_a_width_that_four_does_not_divide(self):
        vectors, queries = clustered(4000, 13, seed=3)
        config = IndexConfig(exact_up_to=0, kinds=("pq",), target_recall=0.8, measured_at=20)
        index = build_index(vectors, config, queries=queries)
        truth = brute_force(vectors, queries, 10)
        found = np.mean([len(set(a) & set(b)) for a, b in zip(index.search(queries, 10).items, truth, strict=True)])
        assert index.kind == "pq"
        assert found / 10 > 0.75

    def test_the_same_seed_builds_the_same(self):
        vectors, queries = clustered(5000, 16, seed=4)
        config = IndexConfig(exact_up_to=10, kinds=("ivf",), target_recall=0.8, measured_at=20)
        first, second = (build_index(vectors, config, queries=queries) for _ in range(2))
        assert first.parameters == second.parameters
        np.testing.assert_array_equal(first.search(queries, 20).items, second.search(queries, 20).items)


class TestMistakes:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"target_recall": 0.0}, "target_recall"),
            ({"exact_up_to": -1}, "exact_up_to"),
            ({"sample": 0}, "sample"),
            ({"kinds": ("lsh",)}, '"lsh"'),
        ],
    )
    def test_config(self, given, message):
        with pytest.raises(ConfigError, match=message):
            IndexConfig(**given)

    def test_vectors_that_are_no_numbers(self):
        with pytest.raises(InvalidDataError, match="finite"):
            build_index(np.array([[np.nan, 1.0]], dtype=np.float32))

    def test_queries_and_candidates_that_do_not_fit(self):
        index = build_index(np.ones((5, 4), dtype=np.float32))
        with pytest.raises(InvalidDataError, match="4 columns"):
            index.search(np.ones((1, 3), dtype=np.float32), 2)
        with pytest.raises(InvalidDataError, match="there are 5 items"):
            index.search(np.ones((1, 4), dtype=np.float32), 2, only=np.array([5]))
        with pytest.raises(ConfigError, match="k = 0"):
            index.search(np.ones((1, 4), dtype=np.float32), 0)


class TestDamage:
    @pytest.fixture
    def saved(self, tmp_path):
        vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
        build_index(vectors).save(tmp_path)
        return tmp_path

    def change(self, folder, **facts):
        path = folder / "index.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    @pytest.mark.parametrize("facts", [{"dim": 5}, {"count": 49}, {"kind": "hnsw"}, {"metric": "l2"}, {"format": 99}])
    def test_facts_that_do_not_fit(self, saved, facts):
        self.change(saved, **facts)
        with pytest.raises(ArtifactError, match="build the index again"):
            ItemIndex.load(saved)

    def test_other_vectors(self, saved):
        build_index(np.ones((50, 4), dtype=np.float32)).save(saved / "other")
        (saved / "other" / "index.faiss").replace(saved / "index.faiss")
        with pytest.raises(ArtifactError, match="not those it was built from"):
            ItemIndex.load(saved)

    def test_a_file_cut_short_or_missing(self, saved):
        path = saved / "index.faiss"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ArtifactError, match="cannot be read"):
            ItemIndex.load(saved)
        path.unlink()
        with pytest.raises(ArtifactError, match="cannot be read"):
            ItemIndex.load(saved)

    def test_fingerprint_depends_on_shape_and_content(self):
        vectors = np.arange(12, dtype=np.float32)
        digests = {vectors_fingerprint(vectors.reshape(shape)) for shape in ((3, 4), (4, 3))}
        assert len(digests | {vectors_fingerprint(np.zeros((3, 4), dtype=np.float32))}) == 3


class TestSelectivity:
    """Filters act inside the search of the index; a tight one is searched exactly."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch):
        # As for millions of items: what is small there is small here.
        monkeypatch.setattr(recall.index.item_index, "_SUBSET", 300)
        monkeypatch.setattr(recall.index.item_index, "_MOST_FETCHED", 64)

    @staticmethod
    def share_found(items, truth):
        return np.mean(
            [len(set(mine) & set(best[best >= 0])) / (best >= 0).sum() for mine, best in zip(items, truth, strict=True)]
        )

    @pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize("by", ["only", "exclude", "both"])
    def test_nothing_is_missing(self, each_kind, share, by):
        index, vectors, queries = each_kind
        rng = np.random.default_rng(int(share * 1000))
        count = round(share * len(vectors))
        left_out = [np.sort(rng.permutation(len(vectors))[:count]) for _ in queries]
        only = exclude = None
        if by != "exclude":
            only = np.setdiff1d(np.arange(len(vectors)), left_out[0])
        if by != "only":
            exclude = RaggedArray.from_lists(left_out)
        top = index.search(queries, 20, exclude=exclude, only=only)
        truth = brute_force(vectors, queries, 20, exclude, only)
        if index.kind == "flat" or share == 0.999:
            np.testing.assert_array_equal(top.items, truth)
        else:
            assert self.share_found(top.items, truth) >= 0.9
            assert ((top.items >= 0).sum(axis=1) == (truth >= 0).sum(axis=1)).all()
        for row, items in enumerate(top.items):
            assert exclude is None or not set(items) & set(left_out[row])
            assert only is None or set(items[items >= 0]) <= set(only)

    def test_the_index_skips_what_is_left_out(self, each_kind, monkeypatch):
        index, vectors, queries = each_kind
        if index.kind == "flat":
            pytest.skip("searched exactly")
        exact = []
        monkeypatch.setattr(type(index), "_exact", lambda *given: exact.append(given))
        exclude = RaggedArray.from_lists([np.arange(0, len(vectors), 2)] * len(queries))
        assert (index.search(queries, 20, exclude=exclude).items % 2 == 1).all()
        assert (index.search(queries, 20, only=np.arange(1, len(vectors), 2)).items % 2 == 1).all()
        assert exact == []

    def test_a_wide_choice_of_few_items_is_searched_by_the_index(self, each_kind, monkeypatch):
        index, vectors, queries = each_kind
        if index.kind == "flat":
            pytest.skip("searched exactly")
        monkeypatch.setattr(recall.index.item_index, "_SUBSET", 100_000)
        monkeypatch.setattr(recall.index.item_index, "_MOST_FETCHED", 2048)
        exact = []
        monkeypatch.setattr(type(index), "_exact", lambda *given: exact.append(given))
        assert (index.search(queries, 20, only=np.arange(9, len(vectors))).items >= 9).all()
        assert exact == []

    def test_the_rarer_what_is_allowed_the_further_the_search_goes(self, each_kind):
        index, vectors, _ = each_kind
        if index.kind == "flat":
            pytest.skip("searched exactly")
        half = index._search_parameters(20, np.arange(0, len(vectors), 2))
        every = index._search_parameters(20, None)
        if index.kind in LISTED:
            assert half.nprobe == min(2 * every.nprobe, index.parameters["lists"])
        else:
            assert half.efSearch == 2 * every.efSearch


def test_a_wide_choice_of_an_exact_index_copies_no_vectors():
    rng = np.random.default_rng(0)
    vectors, queries = rng.normal(size=(500, 8)).astype("f4"), rng.normal(size=(4, 8)).astype("f4")
    only = np.sort(rng.permutation(500)[:400])
    index = build_index(vectors)

    class Counted(np.ndarray):
        def __getitem__(self, key):
            assert not (isinstance(key, np.ndarray) and len(key) == len(only))
            return super().__getitem__(key)

    index.vectors = index.vectors.view(Counted)
    np.testing.assert_array_equal(
        index.search(queries, 9, only=only).items, brute_force(vectors, queries, 9, None, only)
    )
