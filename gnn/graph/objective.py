"""The loss of a batch of pairs, with its negatives, temperature and scale of cold items."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.distributed import Ranks
from gnn.graph.encoder import Encoded, rows_of
from gnn.sampling import NegativeSampler, Stream
from gnn.settings import TrainingConfig
from gnn.training.losses import bpr, sampled_softmax, squared_norm
from kg.arrays import IntArray
from kg.topology.adjacency import Numbering

BPR_ROUNDS = 4  # negatives drawn for each pair, to replace those that its user liked


class Objective(nn.Module):
    """The loss.

    Attributes:
        log_temperature: logarithm of the softmax's divisor, a number.
        log_cold_scale: logarithm of the factor of cold items' cosines, a number.
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
            cold_pass: whether a second pass trains the factor of cold items.
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
        """The present divisor of the softmax."""
        return float(self.log_temperature.detach().exp())

    @property
    def cold_scale(self) -> float:
        """The present factor of cold items."""
        return float(self.log_cold_scale.detach().exp())

    def forward(
        self, encoded: Encoded, users: Tensor, items: Tensor, *, cold: Tensor, step: int, stream: Stream
    ) -> Tensor:
        """Mean loss of a batch; with several ranks each returns a part of it, and the sum of the parts is the loss.

        Args:
            encoded: the graph.
            users: positions, int64 (batch,).
            items: the items they liked, int64 (batch,).
            cold: items that count as untouched in this pass, bool (items,).
            step: of the training.
            stream: of the negatives.
        """
        training, ranks = self._training, self._ranks
        batch = len(users)
        mine = ranks.share(batch)
        if training.loss == "softmax":
            # The pairs of a user come one after the other, so that they share the user's scores.
            order = users.argsort(stable=True)
            users, items = users[order], items[order]
        ends = [users + self._users.start, items + self._items.start]
        if training.loss == "bpr":
            ends.append(self._bpr_negatives(users, step, stream) + self._items.start)
            rows = ranks.all_to_all(encoded.rows(torch.stack(ends, dim=1))[0])
            loss = bpr(rows[:, 0], rows[:, 1], rows[:, 2], total=batch)
        else:
            full = training.negatives == 0
            if full:
                chosen = self._competing
            else:
                chosen = self._sampler(training.negatives, seed=self._seed, step=step, stream=stream)
            of_pairs, of_chosen = encoded.rows(torch.stack(ends, dim=1), chosen + self._items.start)
            rows, negatives = ranks.all_to_all(of_pairs), ranks.all_gather(of_chosen)
            _, counts = users[mine].unique_consecutive(return_counts=True)  # type: ignore[no-untyped-call]
            left, right = rows[:, 0].index_select(0, counts.cumsum(0) - counts), rows[:, 1]
            if training.similarity == "cosine":
                left, right, negatives = (functional.normalize(part, dim=-1) for part in (left, right, negatives))
            if self.log_cold_scale.requires_grad:
                scale = self.log_cold_scale.exp()
                right = torch.where(cold[items[mine], None], right * scale, right)
                negatives = torch.where(cold[chosen, None], negatives * scale, negatives)
            loss = sampled_softmax(
                left,
                right,
                negatives,
                positive_index=items[mine],
                negative_index=chosen,
                temperature=self.log_temperature.exp(),
                log_q=self._sampler.log_q[chosen] if training.log_q and not full else None,
                counts=counts,
                total=batch,
            )
        if training.l2:
            loss = loss + training.l2 * squared_norm(*(rows_of(encoded.base, end) for end in ends))
        return loss

    def _bpr_negatives(self, users: Tensor, step: int, stream: Stream) -> Tensor:
        """An item for each pair that its user has not liked; a few liked ones may remain after the last round."""
        count = len(users) * BPR_ROUNDS
        drawn = self._sampler(count, seed=self._seed, step=step, stream=stream).view(BPR_ROUNDS, -1)
        chosen = drawn[0]
        for other in drawn[1:]:
            keys = users * self._num_items + chosen
            place = torch.searchsorted(self._pair_keys, keys).clamp(max=len(self._pair_keys) - 1)
            chosen = torch.where(self._pair_keys[place] == keys, other, chosen)
        return chosen
