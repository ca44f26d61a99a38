"""Powers, decays and weights of the walk, found on the validation part by a few seeded trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.validation import VALIDATION_K, Validation
from kg.arrays import IntArray
from kg.history import InteractionHistory
from kg.progress import SILENT, Progress
from recall.channels.base import as_matrix
from recall.channels.walk.config import WalkConfig
from recall.channels.walk.start import Start, blocks, popularity_of, start_of
from recall.channels.walk.steps import DISLIKED, POPULARITY, USERS, StepType, StepTypes
from recall.channels.walk.weights import best_weights
from recall.contracts import Query, StepKind
from recall.index.top_k import mask_out, top_k

# A trial moves one setting to a neighbouring value. The steps are as wide as what makes a difference, and what made the
# largest differences on the data sets of the benchmarks comes first.
LADDERS: Mapping[str, tuple[float, ...]] = {
    "age_decay": (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 1.0),
    "next_decay": (0.5, 0.65, 0.8, 0.9, 0.95),
    "user_end": (-0.4, -0.2, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "next_start": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    "popularity_power": (0.25, 0.5, 0.75, 1.0),
    "relation_likes": (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
    "dislike": (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4),
    "text_likes": (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
    "user_middle": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    "relation_middle": (0.0, 0.25, 0.5, 0.75, 1.0),
    "next_end": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "user_start": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    "next_window": (5, 10, 20, 50),
    "next_middle": (0.0, 0.15, 0.3, 0.5),
    "chains": (False, True),
    "rarity": (0.0, 0.5, 1.0, 2.0),
    "text_power": (1.0, 2.0, 3.0, 5.0, 8.0),
}
# Where the trials may begin, beside the settings as they are: what was best on few items with many likes each, and on
# many that hardly anybody likes. Only settings that nobody changed are moved.
_BEGINNINGS: tuple[Mapping[str, float], ...] = (
    {
        "age_decay": 0.9,
        "user_end": 0.5,
        "next_decay": 0.95,
        "next_window": 50,
        "next_start": 0.6,
        "next_middle": 0.3,
        "next_end": 0.3,
    },
    {"user_end": -0.4, "popularity_power": 1.0},
)
_WORTH = 1e-3  # of the NDCG: a change that adds less is noise
_HELD = 2**27  # scores of all types of step and users that are held at once, 512 MiB
_FEWEST = 100  # users, however many items there are
_LEAST = 1e-3  # of all that the types of step give: one that gives less is left out


@dataclass(frozen=True)
class Chosen:
    """What the search found.

    Attributes:
        config: the settings.
        weights: of each type of step that counts.
        ndcg: NDCG@20 of the validation users, before and after the trials.
        trials: what was tried: setting, value, NDCG, kept or not.
    """

    config: WalkConfig
    weights: dict[str, float]
    ndcg: tuple[float, float]
    trials: list[dict[str, Any]]


class _Reached(NamedTuple):
    """What one type of step gives the sampled users.

    Attributes:
        scores: of all items, float32 (users, items); None for popularity.
        liked: of what the users went on to like, (pairs,).
        total: of all items that a user has not seen, (users,).
    """

    scores: Any
    liked: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]


class _Judged(NamedTuple):
    ndcg: float
    weights: dict[str, float]


class Search:
    """Compares settings on some validation users."""

    def __init__(
        self,
        types: StepTypes,
        history: InteractionHistory,
        validation: Validation,
        config: WalkConfig,
    ) -> None:
        """Draw the users.

        Args:
            types: makes the types of step.
            history: of the training part.
            validation: what the users went on to like, and what is left out of their rankings.
            config: where the trials begin.
        """
        self.types, self.history = types, history
        able = np.flatnonzero((validation.truth.counts > 0) & (history.liked.counts > 0))
        if config.age_decay is None:
            config = config.changed(age_decay=types.usual_decay)
        self.config = config
        most = max(_HELD // max(history.num_items * len(types.make(config)), 1), _FEWEST)
        random = np.random.default_rng(config.seed)
        self.users: IntArray = np.sort(random.permutation(able)[: min(config.trial_users, most)])
        self._truth, self._seen = validation.truth.take(self.users), validation.seen.take(self.users)
        self._reached: dict[str, tuple[Any, float, _Reached]] = {}
        self._start: tuple[float, Start] | None = None
        self._without: set[str] = set()  # types of step that were found to be no help

    def run(self, progress: Progress = SILENT) -> Chosen | None:
        """Try changes of one setting at a time and keep those that help: all once in order, then in a seeded one.

        Returns:
            None where no user has both a history and something to find.
        """
        if not len(self.users):
            return None
        config, trials = self.config, list[dict[str, Any]]()
        first = best = self._judge(config)
        for beginning in _BEGINNINGS if self.config.trials else ():
            other = self._begun_at(beginning)
            judged = self._judge(other)
            if judged.ndcg > best.ndcg:
                config, best = other, judged
        best = self._left_out(config, best)
        random = np.random.default_rng(self.config.seed)
        moves = self._moves(config)[::-1]
        since_kept = 0
        with progress.task("trials of the walk", total=self.config.trials) as task:
            while len(trials) < self.config.trials:
                if not moves:
                    moves = self._moves(config)
                    if since_kept >= len(moves):
                        break
                    random.shuffle(moves)
                name, direction = moves.pop()
                since_kept += 1
                value = _neighbour(LADDERS[name], getattr(config, name), direction)
                if value is None:
                    continue
                judged = self._judge(config.changed(**{name: value}))
                kept = judged.ndcg > best.ndcg * (1 + _WORTH)
                trials.append({"setting": name, "value": value, "ndcg": round(judged.ndcg, 5), "kept": kept})
                if kept:
                    config, best, since_kept = config.changed(**{name: value}), judged, 0
                    moves.append((name, direction))
                task.advance()
        best = self._left_out(config, best)
        return Chosen(config, best.weights, (first.ndcg, best.ndcg), trials)

    def _left_out(self, config: WalkConfig, best: _Judged) -> _Judged:
        """The best without types of step that are no help: more of them make choices likelier, not ranked better."""
        for name in sorted(best.weights):
            if name in (USERS, POPULARITY, DISLIKED) or name not in best.weights:
                continue
            self._without.add(name)
            judged = self._judge(config)
            if judged.ndcg > best.ndcg:
                best = judged
            else:
                self._without.remove(name)
        return best

    def _begun_at(self, beginning: Mapping[str, float]) -> WalkConfig:
        """The settings with those of a beginning in place of defaults."""
        usual = {name: field.default for name, field in WalkConfig.model_fields.items()}
        usual["age_decay"] = self.types.usual_decay if self.types.ordered else None
        return self.config.changed(
            **{name: value for name, value in beginning.items() if getattr(self.config, name) == usual[name]}
        )

    def _moves(self, config: WalkConfig) -> list[tuple[str, int]]:
        """The settings that matter for this graph, each up and down."""
        kinds = {kind.kind for kind in self.types.make(config)}
        unused = {
            "age_": not self.types.ordered,
            "next_": StepKind.NEXT not in kinds,
            "relation_": not kinds & {StepKind.RELATION, StepKind.DIRECT},
            "rarity": StepKind.RELATION not in kinds,
            "text_": StepKind.TEXT not in kinds,
            "chains": not self.types.has_chains,
            "dislike": StepKind.DISLIKE not in kinds,
        }
        names = [name for name in LADDERS if not any(off and name.startswith(start) for start, off in unused.items())]
        return [(name, direction) for name in names for direction in (-1, 1)]

    def _judge(self, config: WalkConfig) -> _Judged:
        """The best weights under some settings, and the NDCG@20 of the users over all items."""
        kinds = [kind for kind in self.types.make(config) if kind.name not in self._without]
        reached = {kind.name: self._reach(kind, config) for kind in kinds}
        disliked = reached.pop(DISLIKED, None)
        reached[POPULARITY] = self._popular(config)
        liked = np.stack([of_type.liked for of_type in reached.values()], axis=1)
        total = np.stack([of_type.total for of_type in reached.values()], axis=1)
        likeliest = best_weights(liked, total, self._truth.rows())
        gives = likeliest * total.sum(axis=0)
        weights = {
            name: float(weight)
            for name, weight, part in zip(reached, likeliest, gives, strict=True)
            if part > _LEAST * gives.sum()
        }
        if disliked is not None and config.dislike:
            weights[DISLIKED] = config.dislike * weights.get(USERS, 0.0)
            reached[DISLIKED] = disliked
        return _Judged(self._ndcg(reached, weights, config), weights)

    def _ndcg(self, reached: Mapping[str, _Reached], weights: Mapping[str, float], config: WalkConfig) -> float:
        popularity = popularity_of(self.history, config)
        ranked = []
        for rows in blocks(len(self.users), self.history.num_items):
            users = np.arange(len(self.users))[rows]
            scores = np.zeros((len(users), self.history.num_items), dtype=np.float32)
            for name, weight in weights.items():
                if name == POPULARITY:
                    scores += np.float32(weight) * popularity
                else:
                    scores += reached[name].scores[rows] * np.float32(weight)
            mask_out(scores, self._seen.take(users))
            ranked.append(top_k(scores, VALIDATION_K).items)
        metrics = per_user_metrics(np.concatenate(ranked), self._truth, VALIDATION_K)
        return float(metrics["ndcg"].mean())

    def _popular(self, config: WalkConfig) -> _Reached:
        popularity = popularity_of(self.history, config).astype(np.float64)
        seen = as_matrix(self._seen, self.history.num_items) @ popularity
        return _Reached(None, popularity[self._truth.values], popularity.sum() - seen)

    def _reach(self, kind: StepType, config: WalkConfig) -> _Reached:
        held = self._reached.get(kind.name)
        if held is None or held[0] is not kind.step or held[1] != config.decay:
            scores = np.zeros((len(self.users), self.history.num_items), dtype=np.float32)
            kind.step.add_reached(scores, self._starts(kind, config.decay))
            row, seen = self._seen.rows(), self._seen.values
            of_seen = np.bincount(row, weights=scores[row, seen], minlength=len(scores))
            total = scores.sum(axis=1, dtype=np.float64) - of_seen
            liked = scores[self._truth.rows(), self._truth.values].astype(np.float64)
            held = (kind.step, config.decay, _Reached(scores, liked, np.maximum(total, 0)))
            self._reached[kind.name] = held
        return held[2]

    def _starts(self, kind: StepType, decay: float) -> Any:
        if self._start is None or self._start[0] != decay:
            self._start = (decay, start_of(Query.of_positions(self.users), self.history, decay=decay))
        start = self._start[1]
        return start.disliked if kind.kind is StepKind.DISLIKE else start.liked


def _neighbour(ladder: Sequence[float], value: float, direction: int) -> float | None:
    """The next larger or smaller value of a ladder, None at its end."""
    if direction > 0:
        return next((step for step in ladder if step > value + 1e-9), None)
    return next((step for step in reversed(ladder) if step < value - 1e-9), None)
