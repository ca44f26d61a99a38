"""Several channels as one: each channel's scores standardised for the request, their weighted sum.

score(u, i) = sum over channels c of w_c * s_c(u, i) / spread_c(u)

The spread is the standard deviation of the channel's best `depth` scores for the request, among items that were not
seen. It depends on the request alone, so an item's score is the same whatever k, whatever the filters, and the whole
score is a sum of multiples of the channels' scores, which their shares explain. A mean is not subtracted: it would move
all items of a request by the same amount.

Candidates are the items in any channel's best `depth`; every channel scores all of them, also those that others found.
Of the time that finding them takes that is a hundredth for ChebyCF, a sixth for neighbours, as much again for an index
of vectors. On 3,000 users of gowalla's validation part (ChebyCF, RP3beta
and item-kNN, the best of the same weights for each; recall@20/NDCG@20, single channels up to .165/.102) that reaches
.1724/.1057, giving an item that a channel does not list its lowest listed score .1721/.1056, and reciprocal ranks
(Cormack, Clarke and Buettcher, SIGIR 2009) .1716/.1041. The last two would also give an item another score under every
filter, and none that splits into shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator

from gnn.evaluation.metrics import per_user_metrics
from kg import KnowledgeGraph, RaggedArray, RelationKey
from kg.arrays import IntArray
from kg.errors import ArtifactError, ConfigError, InvalidDataError, NotFittedError, UnknownIdError
from kg.io.files import read_json, write_json
from kg.settings import Settings
from recall.channels import CHANNELS
from recall.channels.base import TextEncode
from recall.channels.known import Known
from recall.contracts import Candidates, Channel, FusedShares, NoShares, Part, Queries, Scored, Share, Shares, TopK
from recall.index.top_k import BLOCK_SCORES, check_k, check_positions, top_k

Values = npt.NDArray[np.float64]

_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LEVEL = 1e-6  # of the largest score: a spread below is rounding
_FACTORS = (4.0, 2.0, 1.5, 1.2, 1.1)  # by which a weight is changed, in either direction
_ROUNDS = 10
_WORTH = 2e-3  # of the NDCG: a channel that adds less is left out
_HOPE = 2e-2  # of the NDCG: what weighing the others again may win back
_SOURCE = "fusion({})"
MODEL = "lightgcn"  # the name in a run's fusion of the model that the run trained


class FusionConfig(Settings):
    """How the scores of several channels become one."""

    section: ClassVar[str] = "fusion"

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Weight of each channel, by name; a channel of weight 0 is not asked. Only the ratios of the "
        "weights matter to the ranking.",
    )
    depth: int = Field(
        default=200,
        ge=2,
        description="How many of its best items each channel contributes, and over how many the spread of its scores "
        "is taken.",
    )

    @field_validator("weights")
    @classmethod
    def _weights_are_not_all_0(cls, value: dict[str, float]) -> dict[str, float]:
        if value and not any(value.values()):
            raise ValueError("are all 0: give at least one channel a weight above 0")
        return value


class Fusion:
    """A weighted sum of channels. Where one of them knows nothing, the others answer.

    The `source` of a candidate names the channels in whose lists it is: "fusion(embedding+spectral)".

    Attributes:
        channels: by the names that the weights have.
        config: weights and depth.
    """

    name: str = "fusion"

    def __init__(self, channels: Mapping[str, Channel], config: FusionConfig | None = None) -> None:
        """Say what to fuse; `Fusion.of` takes channels that are fitted already.

        Args:
            channels: name -> channel.
            config: its weights name the same channels; without weights all weigh the same.

        Raises:
            ConfigError: there are no channels, a name cannot be that of a folder, or the weights name others.
        """
        if not channels:
            raise ConfigError("a fusion needs at least one channel")
        if bad := [name for name in channels if not _NAME.fullmatch(name)]:
            raise ConfigError(f"the channel name {bad[0]!r} is no name for a folder: use letters, digits, _ and -")
        config = config or FusionConfig()
        if not config.weights:
            config = config.changed(weights=dict.fromkeys(channels, 1.0))
        if unknown := sorted(set(config.weights) - set(channels)):
            raise ConfigError(f"fusion.weights names {unknown[0]!r}; the channels are {', '.join(channels)}")
        if without := sorted(set(channels) - set(config.weights)):
            raise ConfigError(
                f"fusion.weights has nothing for the channel {without[0]!r}: give a weight, 0 leaves it out"
            )
        self.channels = dict(channels)
        self.config = config
        self._known: Known | None = None

    @classmethod
    def of(cls, channels: Mapping[str, Channel], graph: KnowledgeGraph, config: FusionConfig | None = None) -> Fusion:
        """From channels that are fitted on a graph."""
        fusion = cls(channels, config)
        fusion._known = Known.of(graph)
        return fusion

    def reweighted(self, weights: Mapping[str, float]) -> Fusion:
        """The same fitted channels under other weights."""
        fusion = Fusion(self.channels, self.config.changed(weights=weights))
        fusion._known = self._known
        return fusion

    @property
    def known(self) -> Known:
        """What is remembered of the graph.

        Raises:
            NotFittedError: it has not been fitted.
        """
        if self._known is None:
            raise NotFittedError(
                f"the channel {self.name!r} has not been fitted: call fit(graph), of(...) or load(folder)"
            )
        return self._known

    @property
    def item_vectors(self) -> npt.NDArray[np.float32] | None:
        """Vectors that tell how alike items are: those of the first channel that has any."""
        found = (getattr(channel, "item_vectors", None) for channel in self.channels.values())
        return next((vectors for vectors in found if vectors is not None), None)

    def fit(self, graph: KnowledgeGraph) -> Self:
        """Fit every channel to a graph; returns itself."""
        for channel in self.channels.values():
            channel.fit(graph)
        self._known = Known.of(graph)
        return self

    def recommend(
        self, queries: Queries, *, k: int, exclude_seen: bool = True, candidates: IntArray | None = None
    ) -> Candidates:
        """The best k items for each query; see `recall.contracts.Channel`.

        For a k beyond the depth each channel puts k items forward.

        Raises:
            ConfigError: k is below 1.
            UnknownIdError, InvalidDataError: a user or an item is not there.
        """
        known = self.known
        check_k(k)
        k = min(k, known.num_items)
        known.check(queries)
        only = None if candidates is None else check_positions(candidates, known.num_items, "candidates")
        items = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        given = np.zeros((len(queries), k), dtype=np.int64)
        for rows, block in self._blocks(queries):
            top, lists = block.ranked(k, exclude=block.seen if exclude_seen else None, only=only)
            items[rows], scores[rows] = top.items, top.scores
            for bit, listed in enumerate(lists):
                given[rows] |= listed.contains(top.items).astype(np.int64) << bit
        answer = Candidates.from_top_k(TopK(items, scores), key=queries.key, items=known.items, source=self.name)
        return _with_sources(answer, given[items >= 0], list(self._active()))

    def scored(self, queries: Queries) -> FusedScores:
        """The scores that `recommend` ranks by; see `recall.contracts.Channel`."""
        known = self.known
        known.check(queries)
        weights = self._active()
        return FusedScores(
            [self.channels[name].scored(queries) for name in weights],
            list(weights.values()),
            seen=known.excluded(queries),
            depth=min(self.config.depth, known.num_items),
        )

    def _active(self) -> dict[str, float]:
        return {name: weight for name, weight in self.config.weights.items() if weight > 0}

    def _blocks(self, queries: Queries) -> Iterator[tuple[slice, FusedScores]]:
        """The batch in pieces so small that every channel may hold a dense block of its scores at the same time."""
        size = max(1, BLOCK_SCORES // max(self.known.num_items * len(self._active()), 1))
        for rows, block in queries.blocks(size):
            yield rows, self.scored(block)

    def explain(self, pairs: Sequence[tuple[int, int]]) -> list[Shares | NoShares]:
        """Split each score over the channels, and each channel's part as the channel does.

        The answer is `FusedShares`, or `NoShares` where no channel splits its part.

        Raises:
            UnknownIdError: a position outside the tables.
        """
        known = self.known
        for user, item in pairs:
            if not (0 <= user < known.num_users and 0 <= item < known.num_items):
                raise UnknownIdError(f"the pair ({user}, {item}) points outside the tables of users and items")
        weights = self._active()
        users, row_of = np.unique(np.array([user for user, _ in pairs], dtype=np.int64), return_inverse=True)
        none = RaggedArray.empty(len(users))
        queries = Queries(key=[""] * len(users), user=users, history=none)
        factors = [np.zeros((len(weights), 0))] + [block.factors for _, block in self._blocks(queries)]
        factor = np.concatenate(factors, axis=1)[:, row_of]
        answers = [self.channels[name].explain(pairs) for name in weights]
        return [
            fuse_shares(
                [
                    Part(name, weight, scale_shares(answer[at], float(factor[number, at])))
                    for number, ((name, weight), answer) in enumerate(zip(weights.items(), answers, strict=True))
                ]
            )
            for at in range(len(pairs))
        ]

    def save(self, folder: Path) -> None:
        """Write the weights and every channel, each into a folder of its name."""
        self.known.save(folder)
        save_channels(folder, self.channels, self.config)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved fusion; the `encode` of its channels is to be set again.

        Raises:
            ArtifactError: it is damaged, or of another channel or format.
        """
        channels, config = load_channels(folder)
        if missing := [name for name in config.weights if name not in channels]:
            raise ArtifactError(f"{folder} lacks the folder of its channel {missing[0]!r}: fit it again")
        fusion = cls(channels, config)
        fusion._known = Known.load(folder)
        return fusion


class FusedScores:
    """What several channels think of a block of requests, and their weighted sum; see `recall.contracts.Scored`.

    Attributes:
        seen: what each request has seen, (n,) lists.
        factors: by what each channel's scores are multiplied, weight / spread, float64 (channels, n). It is 0 for a
            channel that knows nothing of the request.
    """

    def __init__(self, channels: Sequence[Scored], weights: Sequence[float], *, seen: RaggedArray, depth: int) -> None:
        """Look at each channel's best items.

        Args:
            channels: each one's scores of the block.
            weights: one a channel, above 0.
            seen: what the spreads leave out, whatever is asked for later, (n,) lists.
            depth: items that the spreads are taken over.
        """
        self._channels = channels
        self.seen = seen
        self._depth = depth
        best = [channel.top(depth, exclude=seen) for channel in channels]
        self._best = [top.items for top in best]
        self.factors: Values = np.array(weights)[:, None] / np.stack([spread(top.scores) for top in best])

    def ranked(
        self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> tuple[TopK, list[RaggedArray]]:
        """The best k of what the channels put forward, and each channel's list."""
        items, lists = self.union(k, exclude=exclude, only=only)
        return _best(items, self._sum(items), k), lists

    def top(self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None) -> TopK:
        """See `recall.contracts.Scored`."""
        return self.ranked(k, exclude=exclude, only=only)[0]

    def at(self, items: IntArray) -> npt.NDArray[np.float32]:
        """See `recall.contracts.Scored`."""
        return self._sum(items).astype(np.float32)

    def union(
        self, k: int, *, exclude: RaggedArray | None = None, only: IntArray | None = None
    ) -> tuple[IntArray, list[RaggedArray]]:
        """What any of the channels puts forward: positions ascending, then -1, int64 (n, m); and each one's list."""
        if k <= self._depth and only is None and exclude is self.seen:
            best = self._best
        else:
            depth = max(k, self._depth)
            best = [channel.top(depth, exclude=exclude, only=only).items for channel in self._channels]
        lists = [_lists(one) for one in best]
        return _merged(best), lists

    def parts(self, items: IntArray) -> Values:
        """Each channel's part of the scores of given items, float64 (channels, n, m)."""
        return np.stack(
            [channel.at(items) * factor[:, None] for channel, factor in zip(self._channels, self.factors, strict=True)]
        )

    def _sum(self, items: IntArray) -> Values:
        total = np.zeros(items.shape)
        for channel, factor in zip(self._channels, self.factors, strict=True):
            total += channel.at(items) * factor[:, None]
        return total


def spread(scores: npt.NDArray[np.float32]) -> Values:
    """Standard deviation of lists of scores, float64 (n,).

    A place without an item counts as 0: that is what a channel thinks of items it has no evidence for. Where all
    places are equal the scores tell listed items from others and no more, and their size stands for the spread; where
    there are none it is infinite.

    Args:
        scores: best first, -inf for no item, (n, depth).
    """
    values = np.where(scores > -np.inf, scores, 0).astype(np.float64)
    size = np.abs(values).max(axis=1, initial=0)
    deviation = values.std(axis=1)
    result: Values = np.where(deviation > _LEVEL * size, deviation, np.where(size > 0, size, np.inf))
    return result


def _merged(lists: Sequence[IntArray]) -> IntArray:
    """The items of any list of each row: positions ascending, each once, then -1; int64 (n, m)."""
    everything = np.sort(np.concatenate(lists, axis=1), axis=1)
    new = everything >= 0
    new[:, 1:] &= everything[:, 1:] != everything[:, :-1]
    width = int(new.sum(axis=1).max(initial=0))
    row, place = np.nonzero(new)
    items = np.full((len(everything), width), -1, dtype=np.int64)
    items[row, np.cumsum(new, axis=1)[row, place] - 1] = everything[row, place]
    return items


def _lists(items: IntArray) -> RaggedArray:
    row, place = np.nonzero(items >= 0)
    return RaggedArray.from_pairs(row, items[row, place], num_rows=len(items))


def _best(items: IntArray, scores: Values, k: int) -> TopK:
    """The best k of each row; equal scores, in float32 as they are given out, by position."""
    top = top_k(np.where(items >= 0, scores, -np.inf).astype(np.float32), k)
    if not items.shape[1]:
        return top
    # The items of a row ascend, so that their places break ties as their positions do.
    found = np.take_along_axis(items, np.maximum(top.items, 0), axis=1)
    return TopK(np.where(top.items >= 0, found, -1), top.scores)


def _with_sources(answer: Candidates, given: IntArray, names: Sequence[str]) -> Candidates:
    """Name the channels of each row, of which `given` has the bits."""
    kinds, number = np.unique(given, return_inverse=True)
    told = [_SOURCE.format("+".join(n for bit, n in enumerate(names) if kind >> bit & 1)) for kind in kinds.tolist()]
    table = answer.table
    column = pa.array(told, type=pa.string()).take(pa.array(number))
    return Candidates(table.set_column(table.column_names.index("source"), "source", column))


def scale_shares(answer: Shares | NoShares, factor: float) -> Shares | NoShares:
    """The same split of the score times a factor."""
    if isinstance(answer, NoShares):
        return NoShares(answer.score * factor, answer.reason)

    def scaled(shares: Iterable[Share]) -> tuple[Share, ...]:
        return tuple(share._replace(value=share.value * factor) for share in shares)

    more: dict[str, Any] = {}
    if isinstance(answer, FusedShares):
        parts = tuple(part._replace(shares=scale_shares(part.shares, factor)) for part in answer.parts)
        more = {"parts": parts, "unsplit": answer.unsplit * factor}
    own, neighbours, both = answer.cross
    return replace(
        answer,
        score=answer.score * factor,
        own=answer.own * factor,
        history=scaled(answer.history),
        item_own=answer.item_own * factor,
        neighbours=scaled(answer.neighbours),
        pairs=answer.pairs * factor,
        cross=(own * factor, neighbours * factor, both * factor),
        prior=answer.prior * factor,
        **more,
    )


def fuse_shares(parts: Sequence[Part]) -> Shares | NoShares:
    """The split of a sum of scores: what several channels put on the same first hop is one share."""
    score = sum(part.shares.score for part in parts)
    split = [part.shares for part in parts if isinstance(part.shares, Shares)]
    told = {part.shares.reason: None for part in parts if isinstance(part.shares, NoShares)}
    if not split:
        return NoShares(score, "; ".join(told))
    history, rows = _summed([shares.history for shares in split])
    neighbours, columns = _summed([shares.neighbours for shares in split])
    pairs = np.zeros((len(history), len(neighbours)))
    for shares, row, column in zip(split, rows, columns, strict=True):
        np.add.at(pairs, (row[:, None], column[None, :]), shares.pairs)
    cross = np.array([shares.cross for shares in split]).sum(axis=0).tolist()
    return FusedShares(
        score=score,
        own=sum(shares.own for shares in split),
        history=history,
        item_own=sum(shares.item_own for shares in split),
        neighbours=neighbours,
        pairs=pairs,
        cross=(cross[0], cross[1], cross[2]),
        prior=sum(shares.prior for shares in split),
        parts=tuple(parts),
        unsplit=sum(part.shares.score for part in parts if isinstance(part.shares, NoShares)),
    )


def _summed(sides: Sequence[Sequence[Share]]) -> tuple[tuple[Share, ...], list[IntArray]]:
    """Shares by first hop, summed, and where each side's shares went."""
    place: dict[tuple[int, RelationKey], int] = {}
    went = [
        np.array([place.setdefault((share.node, share.relation), len(place)) for share in side], dtype=np.int64)
        for side in sides
    ]
    values = np.zeros(len(place))
    for side, where in zip(sides, went, strict=True):
        np.add.at(values, where, [share.value for share in side])
    hops = zip(place, values.tolist(), strict=True)
    return tuple(Share(node, relation, value) for (node, relation), value in hops), went


def fit_weights(
    fusion: Fusion, queries: Queries, truth: RaggedArray, *, k: int = 20, exclude_seen: bool = True
) -> dict[str, float]:
    """The weights with the best NDCG@k, one channel's weight changed at a time (coordinate search) until none helps.

    Then channels are left out, the one that adds least first, while that costs less than a five-hundredth of the NDCG:
    what is less than noise is not worth asking a channel for. The others are weighed again. Every channel's items
    are looked at under every weight, so that the search costs one pass over the channels.

    Args:
        fusion: fitted on the training part; its own weights do not count.
        queries: validation users, (n,). Of each is kept what the channels put forward, about 5 kB for two channels at a
            depth of 200.
        truth: what they liked in the validation part, (n,) lists, none empty.
        k: cut-off of the metric.
        exclude_seen: leave out what they have seen.

    Returns:
        Name -> weight; they add up to 1.

    Raises:
        InvalidDataError: there are no users, or as many truths as users are not there.
    """
    if not len(queries) or len(queries) != len(truth):
        raise InvalidDataError(
            f"weights of a fusion need validation users with something to find: there are {len(queries)} requests and "
            f"{len(truth)} truths; give the split a validation part, or fusion.weights"
        )
    names = list(fusion.channels)
    equal = fusion.reweighted(dict.fromkeys(names, 1.0))
    found = []
    for rows, block in equal._blocks(queries):
        exclude = block.seen if exclude_seen else None
        items, _ = block.union(k, exclude=exclude)
        found.append((rows, items, block.parts(items).astype(np.float32)))
    ndcg = _Objective(found, truth, k)
    weights, best = _climb(ndcg, np.ones(len(names)))
    while np.count_nonzero(weights) > 1:
        without = [np.where(np.arange(len(names)) == at, 0.0, weights) for at in np.flatnonzero(weights)]
        value, least = max((ndcg(one), -at) for at, one in enumerate(without))
        if value < best * (1 - _HOPE):
            break
        others, reached = _climb(ndcg, without[-least], value)
        if reached < best * (1 - _WORTH):
            break
        weights, best = others, max(best, reached)
    return {name: round(float(weight), 4) for name, weight in zip(names, weights / weights.sum(), strict=True)}


def _climb(ndcg: _Objective, weights: Values, best: float | None = None) -> tuple[Values, float]:
    """The best weights that are reached by changing those above 0, one at a time, and what they reach."""
    best = ndcg(weights) if best is None else best
    for _ in range(_ROUNDS):
        before = best
        for at in np.flatnonzero(weights):
            for factor in _FACTORS:
                for changed in (weights[at] * factor, weights[at] / factor):
                    tried = weights.copy()
                    tried[at] = changed
                    if (value := ndcg(tried)) > best:
                        best, weights = value, tried
        if best == before:
            break
    return weights, best


class _Objective:
    """Mean NDCG@k of weights."""

    def __init__(
        self, found: Sequence[tuple[slice, IntArray, npt.NDArray[np.float32]]], truth: RaggedArray, k: int
    ) -> None:
        self._found = found
        self._truth = truth
        self._k = k

    def __call__(self, weights: Values) -> float:
        values = []
        for rows, items, parts in self._found:
            scores = np.tensordot(weights, parts, axes=1)
            ranked = _best(items, scores, self._k).items
            truth = self._truth.take(np.arange(rows.start, rows.stop))
            values.append(per_user_metrics(ranked, truth, self._k)["ndcg"])
        return float(np.concatenate(values).mean())


def save_channels(folder: Path, channels: Mapping[str, Channel], config: FusionConfig) -> None:
    """Write channels, each into a folder of its name, and how they are fused."""
    for name, channel in channels.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        channel.save(folder / name)
    write_json(folder / "channel.json", {"format": _FORMAT, "channel": Fusion.name, **config.model_dump()})


def load_channels(folder: Path, *, encode: TextEncode | None = None) -> tuple[dict[str, Channel], FusionConfig]:
    """Read what `save_channels` wrote: the channels whose folders are there, and how all are fused.

    Args:
        folder: with a folder for each channel.
        encode: makes vectors of the texts in requests, for the channels that take any.

    Raises:
        ArtifactError: it is damaged, or of another channel or format.
    """
    facts = read_json(folder / "channel.json")
    if not isinstance(facts, dict) or facts.get("channel") != Fusion.name or facts.get("format") != _FORMAT:
        raise ArtifactError(f"{folder} holds no {Fusion.name!r} channel in format {_FORMAT}: fit it again")
    try:
        config = FusionConfig(weights=facts["weights"], depth=facts["depth"])
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise ArtifactError(f"{folder / 'channel.json'} is damaged: {error}") from error
    channels = {name: _load_channel(folder / name) for name in config.weights if (folder / name).is_dir()}
    for channel in channels.values():
        if hasattr(channel, "encode"):
            channel.encode = encode
    return channels, config


def fused_channel(
    folder: Path, model: Channel, graph: KnowledgeGraph, *, encode: TextEncode | None = None
) -> Fusion | None:
    """The fusion of a run, or None where the run has none.

    Args:
        folder: what `save_channels` wrote of the channels beside the model.
        model: the run's trained model, which stands for the channel "lightgcn".
        graph: what all of them were fitted on.
        encode: makes vectors of the texts in requests.

    Raises:
        ArtifactError: a channel is damaged or missing.
    """
    if not folder.is_dir():
        return None
    channels, config = load_channels(folder, encode=encode)
    found = {name: model if name == MODEL else channels.get(name) for name in config.weights}
    if missing := [name for name, channel in found.items() if channel is None]:
        raise ArtifactError(f"{folder} lacks the folder of its channel {missing[0]!r}: run the refresh again")
    return Fusion.of({name: channel for name, channel in found.items() if channel is not None}, graph, config)


def _load_channel(folder: Path) -> Channel:
    kinds = {**CHANNELS, Fusion.name: Fusion}
    facts = read_json(folder / "channel.json")
    name = facts.get("channel") if isinstance(facts, dict) else None
    if name not in kinds:
        raise ArtifactError(f"{folder} holds the channel {name!r}, which this version does not know: fit it again")
    channel: Channel = kinds[name].load(folder)
    return channel
