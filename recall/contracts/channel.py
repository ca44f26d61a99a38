"""What a channel is, what it learns from, and what it is loaded with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from kg.arrays import IntArray, RaggedArray
from kg.cypher.query import CypherQuery
from kg.history import InteractionHistory
from kg.topology.adjacency import Adjacency
from recall.contracts.attribution import NoShares, Shares
from recall.contracts.query import Query
from recall.contracts.scores import Scores
from recall.index.settings import IndexConfig

if TYPE_CHECKING:
    from gnn.evaluation.validation import Validation
    from gnn.text.features import TextFeatures
    from gnn.training.context import RunContext
    from kg import KnowledgeGraph

TextEncode = Callable[[Sequence[str | None]], npt.NDArray[np.float32]]
"""Texts (n,) -> vectors float32 (n, text dim), zero rows for blank texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a channel declares of itself, so that nobody has to ask which one it is.

    Attributes:
        unknown_people: it scores people whom the graph does not hold, by their history.
        text: it also reads the text of a request.
        attributes: it also reads the attributes of a request.
        dislikes: the disliked examples of a request lower its scores; otherwise they are only left out.
        everybody: it answers requests without any evidence, too.
        needs_text: it is fitted on text vectors, and useless without any.
        trained: it has weights: a fit takes long, reports a training, and can go on from an earlier one.
        item_vectors: it has vectors that say how alike items are.
        paths: its score is a sum over paths of the graph, each with its share.
        dense: its scores of a block of requests may hold an array of (requests, items).
        cypher: it writes queries that recompute its scores in a database, see `WritesCypher`.
    """

    unknown_people: bool = True
    text: bool = False
    attributes: bool = False
    dislikes: bool = True
    everybody: bool = False
    needs_text: bool = False
    trained: bool = False
    item_vectors: bool = False
    paths: bool = False
    dense: bool = True
    cypher: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What an incremental fit goes on from.

    Attributes:
        folder: of the same channel in an earlier run.
        graph: that it was fitted on.
    """

    folder: Path
    graph: KnowledgeGraph


@dataclass(frozen=True, kw_only=True)
class FitData:
    """What a channel learns from.

    Attributes:
        graph: the view to learn from: everything in it may be used.
        history: what its users did, shared by all channels.
        features: text vectors of the graph's nodes; None: there are none.
        validation: what to choose steps and weights on; None: nothing, `recipe` or the config decides.
        recipe: what the fit on validation chose, see `Channel.recipe`.
        start: what to go on from; None: begin anew.
        context: device, seed, progress, checkpoints of a training; None: the defaults.
        encode: makes vectors of the texts in requests, in the space of `features`; None: such requests are refused.
        index: how to index item vectors, for channels that search by them; None: the defaults.
    """

    graph: KnowledgeGraph
    history: InteractionHistory
    features: TextFeatures | None = None
    validation: Validation | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    start: Start | None = None
    context: RunContext | None = None
    encode: TextEncode | None = None
    index: IndexConfig | None = None

    @classmethod
    def of(cls, graph: KnowledgeGraph, **parts: Any) -> FitData:
        """Of a graph; its history is made here."""
        return cls(graph=graph, history=InteractionHistory.of(graph), **parts)


@dataclass(frozen=True, kw_only=True)
class LoadData:
    """What a saved channel is loaded with: parts that all channels of a run share.

    Attributes:
        graph: that the channel was fitted on.
        history: what its users did.
        adjacency: of the graph.
        encode: see `FitData`.
        verify: check that what was saved belongs to this graph.
    """

    graph: KnowledgeGraph
    history: InteractionHistory
    adjacency: Adjacency
    encode: TextEncode | None = None
    verify: bool = True

    @classmethod
    def of(cls, graph: KnowledgeGraph, **parts: Any) -> LoadData:
        """Of a graph; its history and adjacency are made here."""
        return cls(graph=graph, history=InteractionHistory.of(graph), adjacency=Adjacency.of(graph), **parts)


class Channel(Protocol):
    """A source of candidates: scores of all items for a request.

    It is made from its hyper-parameters alone, `kind(config)`, of the type `config_type`; without, from the defaults.

    Attributes:
        name: in configurations, run folders, candidates and reports.
        config_type: class of the hyper-parameters, a subclass of `kg.settings.Settings`.
        capabilities: what it can do.
        config: its hyper-parameters.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]]
    capabilities: ClassVar[Capabilities]
    config: Any

    def __init__(self, config: Any = None) -> None: ...

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What a fit on validation chose, for a fit on more data; empty for a closed formula."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a report says of the fit; empty where there is nothing to say."""

    @property
    def item_vectors(self) -> npt.NDArray[np.float32] | None:
        """Vectors that say how alike items are, float32 (items, dim); None without that capability."""

    def fit(self, data: FitData) -> Self:
        """Learn; returns itself."""

    def score(self, queries: Query) -> Scores:
        """The scores of all items for a block of requests, whose positions the caller has checked."""

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """Split scores exactly, or say why not; the caller has checked the positions.

        Args:
            queries: requests, (n,).
            items: the item whose score to split, for each of them, int64 (n,).
        """

    def save(self, folder: Path) -> None:
        """Write what was learned into a folder; graph and history are not part of it."""

    @classmethod
    def load(cls, folder: Path, data: LoadData) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: it is damaged, or of another channel, format or graph.
        """


@runtime_checkable
class InnerProduct(Protocol):
    """A channel whose score is the inner product of a vector of the request and one of the item."""

    @property
    def scored_items(self) -> npt.NDArray[np.float32]:
        """The vectors of the items as they are scored, float32 (items, dim)."""

    def query_vectors(self, queries: Query) -> npt.NDArray[np.float32]:
        """The vectors of requests, float32 (n, dim); zero where the channel knows nothing of them."""


@runtime_checkable
class WritesCypher(Protocol):
    """A channel whose scores a graph database can recompute."""

    def score_queries(
        self,
        queries: Query,
        items: IntArray,
        *,
        factors: npt.NDArray[np.float64] | None = None,
        show_users: bool = False,
    ) -> list[CypherQuery | None]:
        """For each request and item a query whose shares add up to the score; see `kg.cypher.walk.score_query`.

        Args:
            queries: requests, (n,).
            items: an item for each of them, int64 (n,).
            factors: what each score is multiplied by, such as in a fusion, float64 (n,); None: 1.
            show_users: name other users by id; otherwise they are only counted.

        Returns:
            None where there is nothing that the score could come from.
        """

    def reached_queries(self, queries: Query, *, k: int, seen: RaggedArray) -> list[ReachedQueries | None]:
        """For each request the queries that rank all items; see `kg.cypher.walk.reached_query`.

        Args:
            queries: requests, (n,).
            k: items wanted.
            seen: items to leave out, those that a walk starts at among them, (n,) lists.

        Returns:
            None where nothing is reached.
        """


class ReachedQueries(NamedTuple):
    """The ranking of all items for one request.

    Attributes:
        ranked: for Neo4j: best first.
        parts: for any store: not added up over the types of step.
    """

    ranked: CypherQuery
    parts: CypherQuery
