"""What a step minimises: the loss of a batch of pairs, with its negatives, temperature and scale of cold items."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.encoder import Encoded
from gnn.losses import bpr, sampled_softmax, softmax_all, squared_norm
from gnn.sampling import NegativeSampler, Stream
from gnn.training import TrainingConfig
from kg.adjacency import Numbering
from kg.ids import IntArray

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
    ) -> None:
        """Prepare it.

        Args:
            numbering: which row of the encoded graph is which node.
            ends: names of the user and the item type.
            pairs: user and item positions of all positive pairs, int64 (pairs,) each, sorted by user, then item.
            popularity: users who liked each item, int64 (items,).
            training: which loss, and its settings.
            cold_pass: whether a second pass teaches a scale of cold items.
            seed: of the negatives.
            dtype: of the parameters.
        """
        super().__init__()
        device = pairs[0].device
        self._training, self._seed, self._num_items = training, seed, len(popularity)
        self._users, self._items = (numbering.span(name) for name in ends)
        self._pair_keys = pairs[0] * self._num_items + pairs[1]
        allowed = np.flatnonzero(popularity) if training.touched_only else None
        self._place = torch.full((self._num_items,), -1, dtype=torch.int64, device=device)
        competing = np.arange(self._num_items) if allowed is None else allowed
        self._competing = torch.from_numpy(competing).to(device)
        self._place[self._competing] = torch.arange(len(competing), device=device)
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
        """Mean loss of a batch.

        Args:
            encoded: the graph.
            users: positions, int64 (batch,).
            items: what they liked, int64 (batch,).
            cold: items that look as if nobody had touched them, bool (items,).
            step: of the training.
            stream: of the negatives.
        """
        training = self._training
        everyone, everything = encoded.final[self._users], encoded.final[self._items]
        if training.loss == "bpr":
            wrong = self._bpr_negatives(users, step, stream)
            loss = bpr(_rows(everyone, users), _rows(everything, items), _rows(everything, wrong))
        else:
            if training.similarity == "cosine":
                everyone, everything = functional.normalize(everyone), functional.normalize(everything)
                if self.log_cold_scale.requires_grad:
                    everything = torch.where(cold[:, None], everything * self.log_cold_scale.exp(), everything)
            temperature = self.log_temperature.exp()
            if training.negatives == 0:
                loss = softmax_all(
                    _rows(everyone, users),
                    everything if not training.touched_only else _rows(everything, self._competing),
                    self._place[items],
                    temperature=temperature,
                )
                wrong = None
            else:
                wrong = self._sampler(training.negatives, seed=self._seed, step=step, stream=stream)
                loss = sampled_softmax(
                    _rows(everyone, users),
                    _rows(everything, items),
                    _rows(everything, wrong),
                    positive_index=items,
                    negative_index=wrong,
                    temperature=temperature,
                    log_q=self._sampler.log_q[wrong] if training.log_q else None,
                )
        if training.l2:
            base_users, base_items = encoded.base[self._users], encoded.base[self._items]
            rows = [_rows(base_users, users), _rows(base_items, items)]
            if wrong is not None and training.loss == "bpr":
                rows.append(_rows(base_items, wrong))
            loss = loss + training.l2 * squared_norm(*rows)
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
