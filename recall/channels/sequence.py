"""Models of what comes next behind a nearest-neighbour index: what the channels of sequence models share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from kg import RaggedArray
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError
from kg.history import InteractionHistory
from recall.channels.base import HEADER, check_vectors, not_fitted, read_header, write_header
from recall.channels.scores import FloatArray, IndexScores, described_alone
from recall.contracts import Capabilities, FitData, LeaveOneOut, LoadData, NoShares, Query, Scores, Share, Shares
from recall.contracts.history import rows_with
from recall.index.build import build_index
from recall.index.exact import vectors_fingerprint
from recall.index.item_index import ItemIndex

if TYPE_CHECKING:
    from gnn.sequence.histories import Histories
    from gnn.sequence.model import SequenceModel

_SAMPLED_USERS = 4096


@dataclass(frozen=True, slots=True)
class _Fitted:
    model: SequenceModel
    index: ItemIndex
    history: InteractionHistory


class SequenceChannel:
    """score(history, i) = state(history) . v_i, searched by inner product.

    A history is what the graph has of a user, and after it what comes with the request: everybody is answered by what
    they did, in order, with nothing trained anew. Items without a vector (nobody has touched them, and they have
    neither text nor knowledge) are never candidates, and are passed over in histories.

    Attributes:
        config: hyper-parameters of the model and its training.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[Any]]
    capabilities: ClassVar[Capabilities] = Capabilities(dislikes=False, trained=True, item_vectors=True, dense=False)

    def __init__(self, config: Any = None) -> None:
        self.config = self.config_type() if config is None else config
        self._parts: _Fitted | None = None

    def fit(self, data: FitData) -> Self:
        """Train on the histories of a graph and index its items; returns itself.

        Raises:
            GateError: vectors hold values that are no numbers.
        """
        from gnn.sequence.fit import fit  # torch is imported where a model is trained or asked
        from gnn.sequence.histories import Histories
        from gnn.sequence.model import SequenceModel

        start = data.start
        model = fit(
            data.graph,
            data.history,
            self.config.model,
            self.config.training,
            features=data.features,
            validation=data.validation,
            steps=data.recipe.get("steps"),
            start=None if start is None else SequenceModel.load(start.folder, start.graph).weights,
            context=data.context,
        )
        users = rows_with(data.history.liked)
        chosen = np.sort(np.random.default_rng(0).permutation(users)[:_SAMPLED_USERS])
        states = model.encode(Histories.liked(data.history, chosen))
        check_vectors(self.name, model.vectors, states)
        index = build_index(model.vectors, data.index, queries=states if len(states) else None)
        self._parts = _Fitted(model, index, data.history)
        return self

    def _fitted(self) -> _Fitted:
        if self._parts is None:
            raise not_fitted(self.name)
        return self._parts

    @property
    def model(self) -> SequenceModel:
        """The trained model."""
        return self._fitted().model

    @property
    def recipe(self) -> Mapping[str, Any]:
        """How many steps; see `recall.contracts.Channel`."""
        return {"steps": self.model.facts["steps"]}

    @property
    def facts(self) -> Mapping[str, Any]:
        """The training, and the index; see `recall.contracts.Channel`."""
        fitted = self._fitted()
        return {"training": dict(fitted.model.facts), "index": fitted.index.facts}

    @property
    def item_vectors(self) -> FloatArray | None:
        """The vectors of the items, float32 (items, dim); zero for those that have none."""
        return self.model.vectors

    @property
    def scored_items(self) -> FloatArray:
        """See `recall.contracts.InnerProduct`."""
        return self.model.vectors

    # --------------------------------------------------------------------------------------------------------- scoring

    def score(self, queries: Query) -> Scores:
        """See `recall.contracts.Channel`."""
        fitted = self._fitted()
        return described_alone(IndexScores(fitted.index, self.query_vectors(queries)), fitted.model.described)

    def query_vectors(self, queries: Query) -> FloatArray:
        """The states that follow what people liked; see `recall.contracts.InnerProduct`."""
        return self.model.encode(self._histories(queries))

    def _histories(self, queries: Query) -> Histories:
        """What the people of requests liked, oldest first; what comes with a request has no times."""
        from gnn.sequence.histories import Histories

        own = Histories.liked(self._fitted().history, queries.user)
        return (own if queries.disliked is None else own.without(queries.disliked)).followed_by(queries.history)

    # ------------------------------------------------------------------------------------------------------- explaining

    def attribute(self, queries: Query, items: IntArray) -> list[Shares | NoShares]:
        """What each score loses without each item of the history; see `recall.contracts.LeaveOneOut`.

        An item that the history has several times is left out everywhere at once.
        """
        model = self.model
        histories = model.readable(self._histories(queries))
        latest = histories.latest(model.config.max_length)
        left_out = RaggedArray.from_pairs(latest.rows(), latest.values, num_rows=len(histories))
        repeated = histories.take(left_out.rows())
        shorter = repeated.select(repeated.values != left_out.values[repeated.rows()])
        states, without = model.encode(histories), model.encode(shorter)
        return [
            self._effects(states[row], left_out[row], without[slice(*left_out.offsets[row : row + 2])], int(items[row]))
            for row in range(len(histories))
        ]

    def _effects(self, state: FloatArray, left_out: IntArray, without: FloatArray, item: int) -> NoShares:
        """The effects of one pair, from the states with everything and without each of the items."""
        history = self._fitted().history
        if not len(left_out):
            return NoShares(0.0, "there is no liked item that the model knows")
        if not self.model.described[item]:
            return NoShares(0.0, "the model knows nothing of the item")
        vector = self.model.vectors[item].astype(np.float64)
        score = float(state.astype(np.float64) @ vector)
        lost = score - without.astype(np.float64) @ vector
        nodes = (left_out + history.first_item).tolist()
        effects = zip(nodes, lost.tolist(), strict=True)
        reason = "the model reads the history as a whole, so its score does not split over it"
        return LeaveOneOut(score, reason, tuple(Share(node, history.interaction, value) for node, value in effects))

    # ------------------------------------------------------------------------------------------------------------ files

    def save(self, folder: Path) -> None:
        """Write model and index into a folder."""
        fitted = self._fitted()
        folder.mkdir(parents=True, exist_ok=True)
        fitted.model.save(folder)
        fitted.index.save(folder / "index")
        write_header(folder, self.name, {"training": self.config.training.model_dump(mode="json")})

    @classmethod
    def load(cls, folder: Path, data: LoadData) -> Self:
        """Read a saved channel.

        Raises:
            ArtifactError: it is damaged, or of another channel, format or graph.
        """
        from gnn.sequence.model import SequenceModel

        facts = read_header(folder, cls.name)
        model = SequenceModel.load(folder, data.graph)
        index = ItemIndex.load(folder / "index", verify=False)
        if data.verify and index.fingerprint != vectors_fingerprint(model.vectors):
            raise ArtifactError(f"the index in {folder} was built from other item vectors than the model has")
        try:
            channel = cls(cls.config_type(**model.config.model_dump(), training=facts["training"]))
        except (ConfigError, KeyError) as error:
            raise ArtifactError(f"{folder / HEADER} is damaged: {error}; fit the channel again") from error
        channel._parts = _Fitted(model, index, data.history)
        return channel
