"""What the trainer trains: a sequence model on examples of a batch of users, validated by ranking all items.

Several ranks hold the same weights. Each makes the same batch, computes the loss of its share of the rows, and ranks
for its share of the users; gradients and metrics are added up. Dropout draws other numbers in each rank: without it any
number of ranks trains the same model but for rounding, with it one of the same kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import rank, score_blocks
from gnn.evaluation.validation import VALIDATION_K
from gnn.sampling import Batches, Stream, seeded
from gnn.sequence.data import SequenceData
from gnn.sequence.encoding import Network, encode
from gnn.sequence.losses import sequence_loss
from gnn.sequence.model import SequenceModel
from gnn.sequence.models import backbone_of
from gnn.sequence.negatives import NegativeItems, Negatives
from gnn.sequence.preparation import Examples
from gnn.sequence.settings import SequenceConfig, SequenceTraining
from gnn.sequence.warm_start import SequenceWeights
from gnn.training.context import RunContext
from gnn.training.task import Measured, Outcome, Weight
from kg import KnowledgeGraph

METRICS = ("ndcg", "recall")


class SequenceTask:
    """A sequence model, trained to answer with the items of histories; see `gnn.training.task.TrainingTask`.

    Attributes:
        data: histories, what the vectors of items are made of, and what validates.
        model, training: configurations.
        context: device, seed, precision, ranks.
        network: the model.
    """

    def __init__(
        self,
        data: SequenceData,
        model: SequenceConfig,
        training: SequenceTraining,
        context: RunContext,
        *,
        graph: KnowledgeGraph | None = None,
    ) -> None:
        """Prepare a training.

        Args:
            data: see the class.
            model: see the class.
            training: see the class.
            context: see the class.
            graph: that the data are of, in the first rank, which makes the result.
        """
        self.data, self.model, self.training, self.context, self._graph = data, model, training, context, graph
        self.device = context.torch_device
        self.network = Network(data.items, model, seed=context.seed, device=self.device, dtype=context.dtype)
        windows = data.windows
        count = len(data.items.touched)
        self._batches = Batches(len(windows), training.batch_size, seed=context.seed, device=torch.device("cpu"))
        is_target = np.ones(len(windows.values), dtype=bool)
        is_target[windows.offsets[:-1]] = False
        targets = np.bincount(windows.values[is_target], minlength=count)
        seen = np.bincount(windows.values, minlength=count) > 0
        self._negatives = NegativeItems(targets, seen, training, seed=context.seed, device=self.device)
        self._weights = {name: Weight(parameter) for name, parameter in self.network.named_parameters()}
        if data.asked is not None:
            self._mine = context.ranks.share(len(data.asked))
            self._asked = data.asked.take(np.arange(self._mine.start, self._mine.stop))
        self._start = ""

    def start_from(self, start: SequenceWeights | None) -> None:
        """Take the weights of an earlier training as the start; all ranks call it.

        Args:
            start: in the first rank; None for a random start, and in the others.

        Raises:
            ConfigError: they are of other hyper-parameters.
        """
        ranks, values = self.context.ranks, None
        if start is not None:
            fresh = {name: _numpy(weight.value) for name, weight in self._weights.items()}
            values = start.starts(self._whole_graph, self.data.items, fresh)
            self._start = start.fingerprint
        if ranks.broadcast(values is not None):
            for name, weight in self._weights.items():
                whole = None if values is None else torch.from_numpy(values[name]).to(weight.value.dtype)
                weight.assign(weight.scatter(whole, ranks))

    @property
    def _whole_graph(self) -> KnowledgeGraph:
        assert self._graph is not None  # noqa: S101 (the first rank has it)
        return self._graph

    # ------------------------------------------------------------------------------------------------ a step

    def parameters(self) -> Mapping[str, Weight]:
        """The weights of items and model."""
        return self._weights

    def batch(self, step: int) -> tuple[Examples, Negatives]:
        """The examples and the negatives of a step, the same in all ranks.

        Args:
            step: from 0.
        """
        windows = self.data.windows.take(self._batches(step).numpy())
        preparator = self.network.backbone.preparator
        examples = preparator.examples(windows, seed=self.context.seed, step=step, device=self.device)
        return examples, self._negatives(examples.targets, step)

    def loss(self, step: int) -> Tensor:
        """The mean loss over the targets of a batch of users.

        Args:
            step: from 0.
        """
        seed, ranks = self.context.seed, self.context.ranks
        self.network.train()
        whole, negatives = self.batch(step)
        examples = whole.share(ranks)
        if not len(examples.targets):  # a gradient of every weight, for the sums over the ranks
            return torch.stack([weight.value.sum() * 0 for weight in self._weights.values()]).sum()
        with seeded(self.device, seed=seed, step=step * ranks.count + ranks.rank, stream=Stream.DROPOUT):
            states, targets, others = self.network(examples, negatives.items)
        total = len(whole.targets)
        return sequence_loss(self.training, states, examples.targets, targets, negatives, others, total=total)

    # ------------------------------------------------------------------------------------------------ validation

    @torch.no_grad()
    def validate(self) -> Measured | None:
        """NDCG@20 and recall@20 over all items that have a vector, seen ones left out."""
        if self.data.asked is None:
            return None
        self.network.eval()
        vectors = self.network.items.all()
        states = encode(self.network.backbone, vectors, self._asked.histories, self.model.max_length)
        undescribed = torch.from_numpy(~self.data.items.described).to(self.device)
        ranked = [np.zeros((0, VALIDATION_K), dtype=np.int64)]
        for _, scores in score_blocks(states, vectors, seen=self._asked.seen):
            scores[:, undescribed] = -torch.inf
            ranked.append(rank(scores, VALIDATION_K))
        metrics = per_user_metrics(np.concatenate(ranked), self._asked.truth, VALIDATION_K)
        # Every rank adds its users' values to zeros: such sums do not depend on the order, so all ranks stop together.
        of_all = torch.zeros((len(METRICS), len(self.data.asked)), dtype=torch.float64, device=self.device)
        of_all[:, self._mine] = torch.from_numpy(np.stack([metrics[name] for name in METRICS])).to(of_all)
        self.context.ranks.all_reduce(of_all)
        values = {
            f"{name}@{VALIDATION_K}": value for name, value in zip(METRICS, of_all.mean(dim=1).tolist(), strict=True)
        }
        return Measured(next(iter(values)), values)

    def advice(self) -> Sequence[str]:
        """What may help against divergence beside a lower learning rate."""
        if self.training.loss != "softmax":
            return []
        return [f"raise training.temperature (now {self.training.temperature:g})"]

    def fingerprint(self) -> str:
        """Digest of histories, items, validation, configurations and start, 64 hexadecimal digits."""
        kind = backbone_of(self.model).name
        settings = [kind, self.model.model_dump(mode="json"), self.training.model_dump(mode="json"), self._start]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(self._whole_graph.items.fingerprint.encode())
        for name, value in self.data.arrays().items():
            digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    # ------------------------------------------------------------------------------------------------ the result

    @torch.no_grad()
    def result(self, outcome: Outcome) -> SequenceModel | None:
        """The trained model; None in all ranks but the first."""
        if not self.context.ranks.first:
            return None
        graph, items = self._whole_graph, self.data.items
        facts: dict[str, Any] = {
            "model": backbone_of(self.model).name,
            "steps": outcome.steps,
            "seed": self.context.seed,
            "device": str(self.device),
            "precision": self.context.precision,
            "seconds": round(outcome.seconds, 3),
            "history": list(outcome.history),
        }
        if outcome.best is not None:
            facts["validation"] = dict(outcome.best.values)
        return SequenceModel(
            config=self.model,
            facts=facts,
            vectors=_numpy(self.network.items.all()),
            described=items.described,
            weights=SequenceWeights(
                tensors={name: _numpy(weight.value) for name, weight in self._weights.items()},
                touched=items.touched,
                nodes=items.nodes,
                vocabularies={name: graph.vocabulary(name) for name in graph.nodes},
            ),
        )


def _numpy(tensor: Tensor) -> Any:
    """A copy on the CPU, float32."""
    return tensor.detach().to("cpu", torch.float32).numpy().astype(np.float32, copy=True)
