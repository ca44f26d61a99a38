"""What early stopping measures: NDCG@20 over all items, under every popularity exponent and prior at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gnn.distributed import Ranks
from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import top_items_under
from gnn.evaluation.validation import VALIDATION_K, Validation
from gnn.graph.embeddings import item_prior, item_scale
from gnn.graph.lightgcn import to_numpy
from gnn.settings import TrainingConfig
from gnn.training.task import Measured
from gnn.training.validation import validation_users
from kg import KnowledgeGraph

METRIC, RECALL = f"ndcg@{VALIDATION_K}", f"recall@{VALIDATION_K}"


class Validator:
    """The validations of one training, always of the same users.

    Attributes:
        users: positions of the users to rank for, int64 (n,), ascending.
    """

    def __init__(
        self,
        graph: KnowledgeGraph,
        validation: Validation,
        training: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
        ranks: Ranks,
    ) -> None:
        chosen = validation_users(validation, len(graph.users), limit=training.validation_users, seed=seed)
        self.users = torch.from_numpy(chosen).to(device)
        self._ranks = ranks
        self._mine = ranks.share(len(chosen))
        own = chosen[self._mine]
        self._truth, self._seen = validation.truth.take(own), validation.seen.take(own)
        # A prior goes with cosines: with other exponents the lengths express popularity already.
        self._ways = [(beta, 0.0) for beta in training.betas] + [(0.0, prior) for prior in training.priors]
        _, liked = graph.positive_edges(graph.schema.interaction_key)
        self._likes = np.bincount(liked, minlength=len(graph.items))

    @torch.no_grad()
    def measure(self, users: Tensor, items: Tensor, *, cold: npt.NDArray[np.bool_], cold_scale: float) -> Measured:
        """Rank all items under every exponent and prior; each rank for its share of the users.

        Args:
            users: final vectors of `self.users`, (n, held columns).
            items: of all items, (items, held columns).
            cold: items that nobody liked in training, bool (items,).
            cold_scale: their factor; see `gnn.graph.embeddings.item_scale`.
        """
        users, items = self._ranks.all_gather(users)[self._mine], self._ranks.all_gather(items)
        vectors = to_numpy(items)
        ways: list[tuple[Tensor, Tensor | None]] = []
        for beta, prior in self._ways:
            scale = item_scale(vectors, beta, cold=cold, cold_scale=cold_scale)
            added = torch.from_numpy(item_prior(self._likes, prior)).to(items) if prior else None
            ways.append((torch.from_numpy(scale).to(items), added))
        ranked = top_items_under(users, items, ways, VALIDATION_K, seen=self._seen)
        # Every rank adds its users' values to zeros: such sums do not depend on the order, so all ranks stop together.
        values = torch.zeros((2, len(ways), len(self.users)), dtype=torch.float64, device=items.device)
        for place, lists in enumerate(ranked):
            metrics = per_user_metrics(lists, self._truth, VALIDATION_K)
            for row, name in enumerate(("ndcg", "recall")):
                values[row, place, self._mine] = torch.from_numpy(metrics[name]).to(values)
        self._ranks.all_reduce(values)
        ndcgs, recalls = values.mean(dim=2).tolist()
        best = int(np.argmax(ndcgs))
        beta, prior = self._ways[best]
        return Measured(METRIC, {METRIC: ndcgs[best], RECALL: recalls[best]}, {"beta": beta, "prior": prior})
