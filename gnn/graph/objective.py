"""What a step minimises: the loss of a batch of pairs, with its negatives, temperature and scale of cold items."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.distributed import Ranks
from gnn.graph.encoder import Encoded
from gnn.sampling import NegativeSampler, Stream
from gnn.settings import TrainingConfig
from gnn.training.losses import bpr, sampled_softmax, squared_norm
from kg.arrays import IntArray
from kg.topology.adjacency import Numbering

BPR_ROUNDS = 4


class Objective(nn.Module):
    """The loss.

    Attributes:
        log_temperature: of the softmax, a number.
        log_cold_scale: of the cosines of items that nobody touched, a number.
    """

    def __init__(
        self,
        numbering: Numbering,
        ends: tuple[str, str],
        pairs: tuple[Tensor, Tensor],
        popularity: IntArray,
        training: TrainingConfig,
        *,
        cold_pass: bool,
        seed: int,
        dtype: torch.dtype,
        ranks: Ranks,
    ) -> None:
        """Prepare it.

        Args:
            numbering: which row of the encoded graph is which node.
            ends: names of the user and the item type.
            pairs: user and item positions of all positive pairs, (pairs,) each, sorted by user, then item.
            popularity: users who liked each item, int64 (items,).
            training: which loss, and its settings.
            cold_pass: whether a second pass teaches a scale of cold items.
            seed: of the negatives.
            dtype: of the parameters.
            ranks: of the training.
        """
        super().__init__()
        self._ranks = ranks
        device = pairs[0].device
        self._training, self._seed, self._num_items = training, seed, len(popularity)
        self._users, self._items = (numbering.span(name) for name in ends)
        if training.loss == "bpr":
            self._pair_keys = pairs[0].long() * self._num_items + pairs[1]
        allowed = np.flatnonzero(popularity) if training.touched_only else None
        self._competing = torch.from_numpy(np.arange(self._num_items) if allowed is None else allowed).to(device)
        self._sampler = NegativeSampler(popularity, power=training.negative_power, allowed=allowed, device=device)
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(training.temperature), dtype=dtype, device=device),
            requires_grad=training.learn_temperature,
        )
        cosine = training.loss == "softmax" and training.similarity == "cosine"
        self.log_cold_scale = nn.Parameter(
            torch.zeros((), dtype=dtype, device=device), requires_grad=cosine and cold_pass
        )

    @property
    def temperature(self) -> float:
        """The softmax's divisor as it is now."""
        return float(self.log_temperature.detach().exp())

    @property
    def cold_scale(self) -> float:
        """Factor of cold items as it is now."""
        return float(self.log_cold_scale.detach().exp())

    def forward(
        self, encoded: Encoded, users: Tensor, items: Tensor, *, cold: Tensor, step: int, stream: Stream
    ) -> Tensor:
        """Mean loss of a batch; of several ranks each has a part of it, and the sum of the parts is the loss.

        Args:
            encoded: the graph.
            users: positions, int64 (batch,).
            items: what they liked, int64 (batch,).
            cold: items that look as if nobody had touched them, bool (items,).
            step: of the training.
            stream: of the negatives.
        """
        training, ranks = self._training, self._ranks
        batch = len(users)
        mine = ranks.share(batch)
        if training.loss == "softmax":
            # The pairs of a user stand next to one another, so that they share the user's scores.
            order = users.argsort(stable=True)
            users, items = users[order], items[order]
        ends = [users + self._users.start, items + self._items.start]
        if training.loss == "bpr":
            ends.append(self._bpr_negatives(users, step, stream) + self._items.start)
            rows = ranks.all_to_all(_rows(encoded.final, torch.stack(ends, dim=1)))
            loss = bpr(rows[:, 0], rows[:, 1], rows[:, 2], total=batch)
        else:
            everything = training.negatives == 0
            if everything:
                wrong = self._competing
            else:
                wrong = self._sampler(training.negatives, seed=self._seed, step=step, stream=stream)
            rows = ranks.all_to_all(_rows(encoded.final, torch.stack(ends, dim=1)))
            negatives = ranks.all_gather(_rows(encoded.final, wrong + self._items.start))
            _, counts = users[mine].unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
            left, right = rows[:, 0].index_select(0, counts.cumsum(0) - counts), rows[:, 1]
            if training.similarity == "cosine":
                left, right, negatives = (functional.normalize(part, dim=-1) for part in (left, right, negatives))
            if self.log_cold_scale.requires_grad:
                scale = self.log_cold_scale.exp()
                right = torch.where(cold[items[mine], None], right * scale, right)
                negatives = torch.where(cold[wrong, None], negatives * scale, negatives)
            loss = sampled_softmax(
                left,
                right,
                negatives,
                positive_index=items[mine],
                negative_index=wrong,
                temperature=self.log_temperature.exp(),
                log_q=self._sampler.log_q[wrong] if training.log_q and not everything else None,
                counts=counts,
                total=batch,
            )
        if training.l2:
            loss = loss + training.l2 * squared_norm(*(_rows(encoded.base, end) for end in ends))
        return loss

    def _bpr_negatives(self, users: Tensor, step: int, stream: Stream) -> Tensor:
        """An item for each pair that its user has not liked; after some rounds a liked one may remain."""
        count = len(users) * BPR_ROUNDS
        drawn = self._sampler(count, seed=self._seed, step=step, stream=stream).view(BPR_ROUNDS, -1)
        chosen = drawn[0]
        for other in drawn[1:]:
            keys = users * self._num_items + chosen
            at = torch.searchsorted(self._pair_keys, keys).clamp(max=len(self._pair_keys) - 1)
            chosen = torch.where(self._pair_keys[at] == keys, other, chosen)
        return chosen


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table; unlike plain indexing its gradient adds up in a fixed order on CUDA too."""
    return functional.embedding(index, table)
