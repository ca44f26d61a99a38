"""What people write and read: several interests of each, matched with the texts of the items in an index of their own.

U = f(X): the texts somebody wrote, and those of the items they like, as BERT vectors pooled into several interests.
R = g(U, C): each interest against the item texts. S = h(X, Y): how an interest of the one kind relates to the texts of
the other, which weighs it. Long lists of neighbours of a popular direction are held down as in CSLS (Conneau et al.,
"Word Translation without Parallel Data", ICLR 2018): the similarity of an item counts beyond what it has to all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.validation import VALIDATION_K, Validation
from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ConfigError
from kg.settings import Settings
from recall.channels.arrays import load_arrays, save_arrays
from recall.channels.base import HistoryChannel, encode_texts, item_likes, rows_with_text
from recall.channels.interests import OwnTexts, pool
from recall.channels.scores import DeferredScores, FloatArray, hold
from recall.channels.texts import unit_item_texts, unit_texts
from recall.contracts import Capabilities, FitData, Query, Scores
from recall.contracts.history import disliked_items, rows_with
from recall.index.build import build_index
from recall.index.item_index import ItemIndex

_HUB_SAMPLE, _HUB_NEAREST = 4096, 32  # liked items that hubness is measured against, and how many of them count
_BLOCK = 1024
_USERS = 1000  # of the validation part that the weights are chosen with
TRIED: dict[str, tuple[float, ...]] = {
    "temperature": (0.05, 0.1, 0.2, 0.4),
    "own": (0.0, 0.1, 0.3, 1.0),
    "relation": (0.0, 1.0, 3.0),
}


class TextInterestConfig(Settings):
    """Hyper-parameters of the interests of people by what they write and read."""

    section: ClassVar[str] = "channels.text_interest"

    interests: int = Field(default=48, ge=1, description="Interests of a person at most; fewer texts are not pooled.")
    own_interests: int = Field(default=16, ge=1, description="Interests at most of what a person wrote.")
    reach: int = Field(default=1000, ge=1, description="Items that each interest is matched with, the nearest ones.")
    temperature: float = Field(
        default=0.2,
        gt=0,
        description="exp(similarity / temperature) counts: small values keep what is very much alike.",
    )
    own: float = Field(default=0.3, ge=0, description="What a text that the person wrote counts beside a liked item.")
    relation: float = Field(
        default=1.0,
        ge=0,
        description="How much more an interest counts that texts of the other kind, written or liked, are about.",
    )
    search: bool = Field(
        default=True, description="Choose temperature, own and relation on the validation part, where there is one."
    )


class _Interests(NamedTuple):
    """The interests of some requests.

    Attributes:
        row: of the request, int64 (m,).
        vectors: float32 (m, dim).
        weights: float64 (m,).
        own: whether it is of what the person wrote, bool (m,).
        counts: texts in it, int64 (m,).
        groups: for each request the interest of each liked item, -1 for one without a text, by number among all.
    """

    row: IntArray
    vectors: FloatArray
    weights: npt.NDArray[np.float64]
    own: npt.NDArray[np.bool_]
    counts: IntArray
    groups: list[IntArray]


class TextInterest(HistoryChannel):
    """score(u, i) = sum over the interests c of u that i is within reach of: w_c exp((cos(c, i) - h_i / 2) / T).

    h_i is the mean similarity of i to the liked items nearest to it. w_c = n_c (1 + relation * cos(c, nearest text of
    the other kind)), times `own` for what was written; n_c texts are in c. A text in a request counts as written.
    """

    name: ClassVar[str] = "text_interest"
    config_type: ClassVar[type[Any]] = TextInterestConfig
    capabilities: ClassVar[Capabilities] = Capabilities(text=True, needs_text=True)

    def __init__(self, config: TextInterestConfig | None = None) -> None:
        super().__init__(config)
        self._mean: FloatArray = np.zeros(0, dtype=np.float32)
        self._unit: FloatArray = np.zeros((0, 0), dtype=np.float32)
        self._own = OwnTexts(np.zeros(1, dtype=np.int64), self._unit, np.zeros(0, dtype=np.int64))
        self._index: ItemIndex | None = None
        self._ndcg: dict[str, float] = {}

    # -------------------------------------------------------------------------------------------------------- learning

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The weights that validation chose; see `recall.contracts.Channel`."""
        return {name: getattr(self.config, name) for name in TRIED} if self._ndcg else {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """The weights and the NDCG@20 of each that was tried; see `recall.contracts.Channel`."""
        return {"weights": dict(self.recipe), "ndcg": self._ndcg} if self._ndcg else {}

    def fit(self, data: FitData) -> TextInterest:
        """Learn; the weights are chosen where there is a validation part and no recipe. Returns itself."""
        if chosen := {name: data.recipe[name] for name in TRIED if name in data.recipe}:
            self.config = self.config.changed(**chosen)
        super().fit(data)
        if self.config.search and not chosen and data.validation is not None:
            self._search(data.validation)
        return self

    def _learn(self, data: FitData) -> None:
        graph, features = data.graph, data.features
        if features is None:
            raise ConfigError("text_interest needs text features: fit it with FitData(features=...)")
        rows, unit, self._mean = unit_item_texts(graph, features)
        self._unit = np.zeros((data.history.num_items, features.dim), dtype=np.float32)
        self._unit[rows] = unit
        self._own = OwnTexts.of(graph, features, most=self.config.own_interests)
        liked = np.flatnonzero((item_likes(data.history) > 0) & self._unit.any(axis=1))
        self._index = build_index(np.column_stack([self._unit, -self._hubness(liked) / 2]), data.index)

    def _hubness(self, liked: IntArray) -> FloatArray:
        """Mean similarity of each item to the liked items nearest to it, float32 (items,)."""
        chosen = np.sort(np.random.default_rng(0).permutation(liked)[:_HUB_SAMPLE])
        against, count = self._unit[chosen].T, min(_HUB_NEAREST, len(chosen))
        result = np.zeros(len(self._unit), dtype=np.float32)
        for start in range(0, len(self._unit) if count else 0, _BLOCK):
            similar = self._unit[start : start + _BLOCK] @ against
            nearest = np.partition(similar, -count, axis=1)[:, -count:]
            result[start : start + _BLOCK] = nearest.mean(axis=1)
        return result

    def _search(self, validation: Validation) -> None:
        """One weight after the other, each time the one with the best NDCG@20."""
        able = np.flatnonzero((validation.truth.counts > 0) & (self.history.liked.counts > 0))
        users = np.sort(np.random.default_rng(0).permutation(able)[:_USERS])
        if not len(users):
            return
        for name, values in TRIED.items():
            reached = {}
            for value in dict.fromkeys((getattr(self.config, name), *values)):
                before, self.config = self.config, self.config.changed(**{name: value})
                reached[value] = self._measured(users, validation)
                self._ndcg[f"{name} = {value:g}"] = round(reached[value], 5)
                self.config = before
            self.config = self.config.changed(**{name: max(reached, key=lambda value: reached[value])})

    def _measured(self, users: IntArray, validation: Validation) -> float:
        lists = [
            self.score(Query.of_positions(part)).top(VALIDATION_K, exclude=validation.seen.take(part)).items
            for part in np.array_split(users, -(-len(users) // 128))
        ]
        metrics = per_user_metrics(np.concatenate(lists), validation.truth.take(users), VALIDATION_K)
        return float(metrics["ndcg"].mean())

    # --------------------------------------------------------------------------------------------------------- scoring

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        if len(disliked_items(queries).values):
            return super().score(queries)
        history = self._liked(queries)
        count = self.history.num_items

        def compute(columns: IntArray | None) -> Scores:
            sums = self._sums(queries, history)
            return hold(sums if columns is None else sums[:, columns], columns)

        return DeferredScores(compute, count)

    def _scores(self, queries: Query, history: RaggedArray, columns: IntArray | None) -> FloatArray:
        sums = self._sums(queries, history)
        scores: FloatArray = (sums if columns is None else sums[:, columns]).toarray()
        scores[scores == 0] = -np.inf
        return scores

    def _sums(self, queries: Query, history: RaggedArray) -> Any:
        """The scores of the items within reach, CSR (n, items), float32."""
        interests = self._interests(queries, history)
        item, value = self._matches(interests)
        row = np.repeat(interests.row, [len(each) for each in item])
        entries = (np.concatenate([np.zeros(0), *value]), (row, np.concatenate([np.zeros(0, dtype=int), *item])))
        return csr_matrix(entries, shape=(len(queries), self.history.num_items), dtype=np.float32)

    def _matches(self, interests: _Interests) -> tuple[list[IntArray], list[npt.NDArray[np.float64]]]:
        """For each interest the items within its reach, and what it adds to their scores."""
        index = self._fitted_index()
        if not len(interests.row):
            return [], []
        asked = np.column_stack([interests.vectors, np.ones(len(interests.row), dtype=np.float32)])
        top = index.search(asked.astype(np.float32), min(self.config.reach, self.history.num_items))
        items, values = [], []
        for place, weight in enumerate(interests.weights.tolist()):
            there = top.items[place] >= 0
            there[there] &= self._unit[top.items[place][there]].any(axis=1)
            items.append(top.items[place][there])
            values.append(weight * np.exp(top.scores[place][there].astype(np.float64) / self.config.temperature))
        return items, values

    def _interests(self, queries: Query, history: RaggedArray) -> _Interests:
        text = self._text(queries)
        rows, vectors, weights, owns, counts, groups = [], [], [], [], [], []
        total = 0
        for row in range(len(queries)):
            items = history[row]
            with_text = self._unit[items].any(axis=1)
            read = pool(self._unit[items[with_text]], self.config.interests)
            written, texts = self._own.of_user(int(queries.user[row]))
            if text is not None and text[row].any():
                written, texts = np.concatenate([written, text[row : row + 1]]), np.append(texts, 1)
            group = np.full(len(items), -1, dtype=np.int64)
            group[with_text] = read.group + total
            groups.append(group)
            for own, centres, count in ((False, read.centres, read.counts), (True, written, texts)):
                others = read.centres if own else written
                near = np.maximum((centres @ others.T).max(axis=1), 0) if len(others) else np.zeros(len(centres))
                weight = count * (1 + self.config.relation * near) * (self.config.own if own else 1.0)
                if self.config.own or not own:
                    rows.append(np.full(len(centres), row))
                    vectors.append(centres)
                    weights.append(weight.astype(np.float64))
                    owns.append(np.full(len(centres), own))
                    counts.append(count)
                    total += len(centres)
        none = np.zeros(0, dtype=np.int64)
        return _Interests(
            np.concatenate([none, *rows]),
            np.concatenate([np.zeros((0, self._unit.shape[1]), dtype=np.float32), *vectors]),
            np.concatenate([np.zeros(0), *weights]),
            np.concatenate([np.zeros(0, dtype=bool), *owns]),
            np.concatenate([none, *counts]),
            groups,
        )

    def _text(self, queries: Query) -> FloatArray | None:
        """Unit vectors of the requests' texts, float32 (n, dim), zero where there is none; None without any."""
        text = encode_texts(queries, self.encode, self.name)
        return None if text is None else unit_texts(text, self._mean)

    def _answerable(self, queries: Query, history: RaggedArray) -> IntArray:
        written = np.zeros(len(queries), dtype=bool)
        users = np.flatnonzero(queries.user >= 0)
        written[users] = self._own.offsets[queries.user[users] + 1] > self._own.offsets[queries.user[users]]
        return np.unique(np.concatenate([rows_with(history), rows_with_text(queries), np.flatnonzero(written)]))

    # ------------------------------------------------------------------------------------------------------- explaining

    def _without_wishes(self, queries: Query) -> Query:
        """Nobody's own texts stand on the side of what is disliked."""
        return replace(super()._without_wishes(queries), user=np.full(len(queries), -1, dtype=np.int64))

    def _row_parts(self, queries: Query, row: int, lists: RaggedArray, item: int) -> npt.NDArray[np.float64]:
        """An interest is shared evenly by the liked items in it."""
        interests, added = self._added(queries.take(np.array([row])), lists.take(np.array([row])), item)
        group = interests.groups[0]
        each = added / np.maximum(interests.counts, 1)
        return np.where(group >= 0, np.append(each, 0.0)[group], 0.0)

    def _parts(self, history: IntArray, item: int) -> npt.NDArray[np.float64]:
        nobody = Query.of_histories([""], RaggedArray.from_lists([history]))
        return self._row_parts(nobody, 0, nobody.history, item)

    def _asked(self, queries: Query, items: IntArray) -> npt.NDArray[np.float64]:
        liked = self._liked(queries)
        parts = np.zeros(len(queries))
        for row, item in enumerate(items.tolist()):
            at = np.array([row])
            interests, added = self._added(queries.take(at), liked.take(at), item)
            parts[row] = added[interests.own].sum()
        return parts

    def _added(self, query: Query, history: RaggedArray, item: int) -> tuple[_Interests, npt.NDArray[np.float64]]:
        """The interests of one request, and what each adds to the score of an item, float64 (m,)."""
        interests = self._interests(query, history)
        matches = zip(*self._matches(interests), strict=True)
        added = [float(values[items == item].sum()) for items, values in matches]
        return interests, np.array(added, dtype=np.float64)

    # ----------------------------------------------------------------------------------------------------------- files

    def _fitted_index(self) -> ItemIndex:
        self.history  # noqa: B018 (raises before a fit)
        assert self._index is not None  # noqa: S101 (comes with the history)
        return self._index

    def _write(self, folder: Path) -> None:
        arrays = {"mean": self._mean, "unit": self._unit, **{f"own_{k}": v for k, v in self._own._asdict().items()}}
        save_arrays(folder / "interests.safetensors", arrays)
        self._fitted_index().save(folder / "index")

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        arrays = load_arrays(folder / "interests.safetensors")
        self._mean, self._unit = arrays["mean"], arrays["unit"]
        self._own = OwnTexts(arrays["own_offsets"], arrays["own_centres"], arrays["own_counts"])
        self._index = ItemIndex.load(folder / "index", verify=False)
