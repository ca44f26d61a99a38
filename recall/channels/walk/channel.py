"""The channel of the typed walk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from kg import KnowledgeGraph, RelationKey
from kg.arrays import IntArray, RaggedArray
from kg.cypher.query import CypherQuery
from kg.cypher.walk import Popularity
from kg.errors import ArtifactError, ConfigError
from kg.history import InteractionHistory
from kg.progress import SILENT
from kg.topology.adjacency import Numbering
from kg.topology.walk import Neighbours
from recall.channels.arrays import load_arrays, pack_csr, save_arrays, unpack_csr
from recall.channels.base import (
    HEADER,
    ClosedChannel,
    encode_texts,
    item_likes,
    rows_with_attributes,
    rows_with_text,
)
from recall.channels.scores import DeferredScores, DenseScores, FloatArray
from recall.channels.walk.attribution import step_paths
from recall.channels.walk.config import WalkConfig
from recall.channels.walk.cypher import Person, WalkCypher
from recall.channels.walk.defaults import default_weights, strengths, typical_worths
from recall.channels.walk.scoring import WeightedSteps
from recall.channels.walk.search import Search
from recall.channels.walk.start import Start, blocks, popularity_of, start_of
from recall.channels.walk.steps import NEXT, POPULARITY, TEXT, USERS, StepType, StepTypes
from recall.channels.walk.texts import ItemTexts
from recall.contracts import (
    REQUEST_TEXT,
    Capabilities,
    FitData,
    LoadData,
    NoShares,
    PathShares,
    Query,
    ReachedQueries,
    Scores,
    Shares,
    StepKind,
    StepPaths,
)

ARRAYS = "walk.safetensors"
TEXTS = "texts"
_SAVED_LISTS = (USERS, NEXT)  # the other operators are made from the graph while loading


class Walk(ClosedChannel):
    """Paths through the graph are the score; see `recall.channels.walk`.

    Known users walk from what they liked, other people from the history, the attributes and the text of the request. A
    stated attribute counts like an item that has it alone, a text like an item with that text, and a type of step that
    starts there counts at least as much as `default_weights` say, because it is all that the request says.

    Attributes:
        config: hyper-parameters; after a fit those that the trials chose.
        encode: makes vectors of the texts in requests; None: such requests are refused.
        weights: of each type of step, those above 0; empty before a fit.
        strengths: the same as people can compare them, see `recall.channels.walk.defaults.strengths`.
    """

    name: ClassVar[str] = "walk"
    config_type: ClassVar[type[Any]] = WalkConfig
    capabilities: ClassVar[Capabilities] = Capabilities(text=True, attributes=True, paths=True, cypher=True)

    def __init__(self, config: WalkConfig | None = None) -> None:
        super().__init__(config)
        self.weights: dict[str, float] = {}
        self.strengths: dict[str, float] = {}
        self._facts: dict[str, Any] = {}
        self._texts: ItemTexts | None = None
        self._types: list[StepType] = []
        self._worths: dict[str, float] = {}
        self._saved: dict[str, Any] = {}  # neighbour lists that were read, until the types of step are made

    # -------------------------------------------------------------------------------------------------------- learning

    def fit(self, data: FitData) -> Self:
        """Find powers and weights on the validation part, if there is one, and build the operators; returns itself.

        Raises:
            ConfigError: `relations` or `weights` name what the graph does not have.
        """
        history = data.history
        self._texts = None
        if data.features is not None:
            self._texts = ItemTexts.of(data.graph, data.features, data.index, n=self.config.text_neighbours)
        factory = StepTypes(data.graph, history, None if self._texts is None else self._texts.similar)
        weights = self.config.weights
        facts: dict[str, Any] = {}
        if "weights" in data.recipe:
            self.config = self.config.changed(**data.recipe["settings"])
            weights = data.recipe["weights"]
        elif weights is None and data.validation is not None:
            progress = SILENT if data.context is None else data.context.progress
            chosen = Search(factory, history, data.validation, self.config).run(progress)
            if chosen is not None:
                self.config, weights = chosen.config, chosen.weights
                facts = {"validation_ndcg": list(chosen.ndcg), "trials": chosen.trials}
        if self.config.age_decay is None:
            self.config = self.config.changed(age_decay=factory.usual_decay)
        types = factory.make(self.config, wanted=weights)
        worths = typical_worths(types, history, self.config)
        self._check_names(weights, types)
        self._facts = facts
        self._prepare(data.graph, history, types, weights, worths)
        self._history, self.encode = history, data.encode
        return self

    @staticmethod
    def _check_names(weights: Mapping[str, float] | None, types: list[StepType]) -> None:
        names = {POPULARITY, *(kind.name for kind in types)}
        if other := sorted(set(weights or ()) - names):
            raise ConfigError(
                f"channels.walk.weights names {other[0]!r}, which is no type of step of this graph; there are "
                f"{', '.join(sorted(names))}"
            )

    def _prepare(
        self,
        graph: KnowledgeGraph,
        history: InteractionHistory,
        types: list[StepType],
        weights: Mapping[str, float] | None,
        worths: Mapping[str, float],
    ) -> None:
        stated = default_weights(types, worths)
        self.weights = {name: weight for name, weight in (stated if weights is None else weights).items() if weight}
        self.strengths = strengths(self.weights, worths)
        self._worths = dict(worths)
        self._types = types
        self._numbering = Numbering.of(graph)
        self._item_type = graph.schema.item_type
        self._likes = item_likes(history)
        self._popular = popularity_of(history, self.config) * np.float32(self.weights.get(POPULARITY, 0.0))
        self._text_weight = max(self.weights.get(TEXT, 0.0), stated.get(TEXT, 0.0))
        self._steps = WeightedSteps(types, self.weights, num_items=history.num_items, stated=stated)
        self._cypher = WalkCypher(
            graph,
            self.config,
            self._steps.weighted,
            popularity=Popularity(self.weights.get(POPULARITY, 0.0), self.config.popularity_power),
            similar=None if self._texts is None else self._texts.similar,
            text_weight=self._text_weight,
        )

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The settings and the weights; see `recall.contracts.Channel`."""
        settings = self.config.model_dump(mode="json", exclude={"weights"})
        return {"settings": settings, "weights": dict(self.weights)}

    @property
    def facts(self) -> Mapping[str, Any]:
        """The types of step with their weights, and what the trials found; see `recall.contracts.Channel`."""
        steps = [
            {"name": name, "weight": weight, "strength": self.strengths[name]}
            for name, weight in sorted(self.weights.items(), key=lambda entry: -self.strengths[entry[0]])
        ]
        return {"steps": steps, **self._facts}

    # --------------------------------------------------------------------------------------------------------- scoring

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`.

        Raises:
            ConfigError: a text came without an encoder.
            InvalidDataError, UnknownIdError: an attribute is not there.
        """
        start = start_of(queries, self.history, decay=self.config.decay)
        profile = self._profile(queries)
        texts = self._request_texts(queries)
        given = np.diff((start.liked > 0).indptr) > 0
        given[rows_with_attributes(queries)] = True
        if texts is not None:
            given |= np.diff(texts.indptr) > 0
        rows = np.flatnonzero(given)

        def compute(columns: IntArray | None) -> Scores:
            # Few columns are asked for many rows at once, whose scores of all items would not fit in memory.
            parts = blocks(len(rows), self.history.num_items) or [slice(0)]
            scores = [scored(rows[part], columns) for part in parts]
            return DenseScores(np.concatenate(scores) if len(parts) > 1 else scores[0], rows, len(queries), columns)

        def scored(part: IntArray, columns: IntArray | None) -> FloatArray:
            scores = np.tile(self._popular, (len(part), 1))
            of_part = Start(start.liked[part], start.disliked[part])
            self._steps.add_reached(scores, of_part, None if profile is None else profile[part])
            if texts is not None:
                scores += texts[part].toarray()
            if columns is not None:
                scores = scores[:, columns]
            scores[scores == 0] = -np.inf  # no evidence
            return scores

        return DeferredScores(compute, self.history.num_items)

    def _profile(self, queries: Query) -> Any | None:
        if queries.attributes is None or not len(rows_with_attributes(queries)):
            return None
        return self._steps.profile(queries.attributes)

    def _request_texts(self, queries: Query) -> Any | None:
        """What the texts of requests add to each item, CSR (n, items); None without any."""
        similar = self._cosines(queries)
        if similar is None:
            return None
        gain = (1.0 + self._likes[similar.indices]) ** self.config.text_likes
        similar.data = similar.data**self.config.text_power * gain * np.float32(self._text_weight)
        return similar

    def _cosines(self, queries: Query) -> Any | None:
        """Cosines of the texts of requests with those of items, CSR (n, items); None without any."""
        if self._texts is None:
            if len(rows_with_text(queries)):
                raise ConfigError(f"the channel {self.name!r} was fitted without text vectors: ask without a text")
            return None
        encoded = encode_texts(queries, self.encode, self.name)
        return None if encoded is None else self._texts.of_texts(encoded, self.config.text_neighbours)

    # ------------------------------------------------------------------------------------------------------- explaining

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """Every path with its share; they and the popularity add up to the score."""
        start = start_of(queries, self.history, decay=self.config.decay)
        profile, texts = self._profile(queries), self._request_texts(queries)
        return [self._split(start, row, int(item), profile, texts) for row, item in enumerate(items.tolist())]

    def _split(self, start: Start, row: int, item: int, profile: Any | None, texts: Any | None) -> Shares | NoShares:
        (items, ages), disliked = _row(start.liked, row), _row(start.disliked, row)
        liked, examples = (items[ages > 0], ages[ages > 0]), (items[ages < 0], ages[ages < 0])
        stated = self._stated_paths(row, item, profile, texts)
        if not len(liked[0]) and not stated:
            return NoShares(0.0, "there is no history, attribute or text that a path could start at")
        walked = [(kind, disliked if kind.kind is StepKind.DISLIKE else liked) for kind, _ in self._steps.weighted]
        weights = [weight for _, weight in self._steps.weighted]
        if len(examples[0]):
            against = [(kind, weight) for kind, weight in self._steps.weighted if kind.kind is not StepKind.DISLIKE]
            walked += [(replace(kind, kind=StepKind.DISLIKE), examples) for kind, _ in against]
            weights += [weight for _, weight in against]
        bundles = [
            step_paths(
                kind,
                *starts,
                item,
                weight=weight,
                strength=self.strengths[kind.name],
                numbering=self._numbering,
                item_type=self._item_type,
            )
            for (kind, starts), weight in zip(walked, weights, strict=True)
        ]
        steps = tuple(bundle for bundle in (*bundles, *stated) if bundle is not None)
        return PathShares.of(steps, prior=float(self._popular[item]), interaction=self.history.interaction)

    def _stated_paths(self, row: int, item: int, profile: Any | None, texts: Any | None) -> list[StepPaths]:
        """The paths that start at attributes and the text of a request."""
        node = item + self._numbering.span(self._item_type).start
        stated: list[StepPaths] = []
        if profile is not None:
            stated = self._steps.stated_paths(profile[[row]], item, self._numbering, self._item_type)
        if texts is not None and (value := float(texts[row, item])):
            stated.append(
                StepPaths(
                    name=TEXT,
                    kind=StepKind.TEXT,
                    weight=self.strengths.get(TEXT, 0.0),
                    shape=(),
                    nodes=np.array([[REQUEST_TEXT, node]]),
                    values=np.array([value]),
                )
            )
        return stated

    def score_queries(
        self,
        queries: Query,
        items: IntArray,
        *,
        factors: npt.NDArray[np.float64] | None = None,
        show_users: bool = False,
    ) -> list[CypherQuery | None]:
        """See `recall.contracts.WritesCypher`."""
        return self._cypher.score_queries(self._people(queries), items, factors=factors, show_users=show_users)

    def reached_queries(self, queries: Query, *, k: int, seen: RaggedArray) -> list[ReachedQueries | None]:
        """See `recall.contracts.WritesCypher`."""
        return self._cypher.reached_queries(self._people(queries), k=k, seen=seen)

    def _people(self, queries: Query) -> Iterator[Person]:
        """Where the walks of requests start."""
        start, texts = start_of(queries, self.history, decay=self.config.decay), self._cosines(queries)
        for row in range(len(queries)):
            named = {} if queries.attributes is None else queries.attributes[row]
            yield Person(
                liked=_row(start.liked, row),
                disliked=_row(start.disliked, row),
                stated=[
                    (kind, weight, np.asarray(positions, dtype=np.int64))
                    for relation, positions in named.items()
                    for kind, weight in self._steps.stated(RelationKey(*relation))
                ],
                text={} if texts is None else dict(zip(*(part.tolist() for part in _row(texts, row)), strict=True)),
            )

    # ------------------------------------------------------------------------------------------------------------ files

    def _write(self, folder: Path) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for kind in self._types:
            if kind.name in _SAVED_LISTS and isinstance(kind.step, Neighbours):
                arrays |= pack_csr(kind.step.lists, kind.name)
        if self._texts is not None:
            self._texts.save(folder / TEXTS)
        save_arrays(folder / ARRAYS, arrays)

    def _more(self) -> dict[str, Any]:
        return {"weights": self.weights, "worths": self._worths, "facts": self._facts, "texts": self._texts is not None}

    def _read(self, folder: Path, facts: Mapping[str, Any]) -> None:
        try:
            self.weights, self._worths = dict(facts["weights"]), dict(facts["worths"])
            self._facts, has_texts = dict(facts["facts"]), bool(facts["texts"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder / HEADER} is damaged: {error}; fit the channel again") from error
        arrays = load_arrays(folder / ARRAYS)
        self._saved = {name: unpack_csr(arrays, name) for name in _SAVED_LISTS if f"{name}_data" in arrays}
        self._texts = ItemTexts.load(folder / TEXTS) if has_texts else None

    def _ready(self, data: LoadData) -> None:
        factory = StepTypes(data.graph, data.history, None if self._texts is None else self._texts.similar)
        types = factory.make(self.config, self._saved, wanted=self.weights)
        self._prepare(data.graph, data.history, types, self.weights, self._worths)


def _row(matrix: Any, row: int) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """Columns and values of one row of a CSR matrix."""
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[span].astype(np.int64), matrix.data[span].astype(np.float64)
