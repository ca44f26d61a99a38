"""What the trainer trains on histories in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnn.evaluation.metrics import per_user_metrics
from gnn.evaluation.ranking import rank, score_blocks
from gnn.evaluation.validation import VALIDATION_K, Validation
from gnn.sampling import Batches, Stream, seeded
from gnn.sequence.encoding import Network, encode
from gnn.sequence.histories import Histories
from gnn.sequence.item_data import ItemData
from gnn.sequence.losses import sequence_loss
from gnn.sequence.model import SequenceModel
from gnn.sequence.models import backbone_of
from gnn.sequence.negatives import NegativeItems
from gnn.sequence.preparation import training_windows
from gnn.sequence.settings import SequenceConfig, SequenceTraining
from gnn.sequence.warm_start import SequenceWeights
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from gnn.training.task import Measured, Outcome, Weight
from gnn.training.validation import users_asked, validation_users
from kg import KnowledgeGraph, RaggedArray
from kg.errors import ConfigError
from kg.history import InteractionHistory
from kg.interactions import NO_TIME

METRICS = ("ndcg", "recall")


@dataclass(frozen=True, kw_only=True)
class SequenceJob:
    """The arguments of a training; see `gnn.sequence.fit.fit`."""

    graph: KnowledgeGraph
    history: InteractionHistory
    model: SequenceConfig
    training: SequenceTraining
    features: TextFeatures | None = None
    validation: Validation | None = None


class SequenceTask:
    """A sequence model, trained to answer with the items of histories; see `gnn.training.task.TrainingTask`.

    Attributes:
        job: graph, histories, configurations, texts, validation.
        context: device, seed, precision.
        windows: the part of each history that is trained on.
        data: what the vectors of items are made of.
        network: the model.
    """

    def __init__(self, job: SequenceJob, context: RunContext) -> None:
        if context.ranks.count > 1:
            raise ConfigError(f"{backbone_of(job.model).name} is trained by one process: start it without torchrun")
        self.job, self.context = job, context
        self.device = context.torch_device
        sequences = Histories.liked(job.history, np.arange(job.history.num_users))
        self.windows = training_windows(sequences, job.model.max_length)
        if job.model.time_parts and (self.windows.times == NO_TIME).all():
            raise ConfigError(
                f"time_parts = {list(job.model.time_parts)} needs times, and no interaction has one: give the "
                "sources a column of times, or leave time_parts empty"
            )
        count = job.history.num_items
        touched = np.bincount(self.windows.values, minlength=count) > 0
        self.data = ItemData.of(job.graph, job.model, job.features, touched)
        self.network = Network(self.data, job.model, seed=context.seed, device=self.device, dtype=context.dtype)
        self._batches = Batches(
            len(self.windows), job.training.batch_size, seed=context.seed, device=torch.device("cpu")
        )
        is_target = np.ones(len(self.windows.values), dtype=bool)
        is_target[self.windows.offsets[:-1]] = False
        targets = np.bincount(self.windows.values[is_target], minlength=count)
        self._negatives = NegativeItems(targets, touched, job.training, seed=context.seed, device=self.device)
        self._weights = {name: Weight(parameter) for name, parameter in self.network.named_parameters()}
        if job.validation is not None:
            users = validation_users(
                job.validation, job.history.num_users, limit=job.training.validation_users, seed=context.seed
            )
            self._truth, self._seen = job.validation.truth.take(users), job.validation.seen.take(users)
            asked = sequences.take(users)
            self._asked = asked.select(self.data.described[asked.values])
        self._start = ""

    def start_from(self, start: SequenceWeights | None) -> None:
        """Take the weights of an earlier training as the start; None for a random start.

        Raises:
            ConfigError: they are of other hyper-parameters.
        """
        if start is None:
            return
        fresh = {name: _numpy(weight.value) for name, weight in self._weights.items()}
        for name, value in start.starts(self.job.graph, self.data, fresh).items():
            self._weights[name].assign(torch.from_numpy(value).to(self._weights[name].value))
        self._start = start.fingerprint

    # ------------------------------------------------------------------------------------------------ a step

    def parameters(self) -> Mapping[str, Weight]:
        """The weights of items and model."""
        return self._weights

    def loss(self, step: int) -> Tensor:
        """The mean loss over the targets of a batch of users.

        Args:
            step: from 0.
        """
        seed = self.context.seed
        self.network.train()
        windows = self.windows.take(self._batches(step).numpy())
        examples = self.network.backbone.preparator.examples(windows, seed=seed, step=step, device=self.device)
        negatives = self._negatives(examples.targets, step)
        with seeded(self.device, seed=seed, step=step, stream=Stream.DROPOUT):
            states, targets, others = self.network(examples, negatives.items)
        return sequence_loss(self.job.training, states, examples.targets, targets, negatives, others)

    # ------------------------------------------------------------------------------------------------ validation

    @torch.no_grad()
    def validate(self) -> Measured | None:
        """NDCG@20 and recall@20 over all items that have a vector, seen ones left out."""
        if self.job.validation is None:
            return None
        self.network.eval()
        vectors = self.network.items.all()
        states = encode(self.network.backbone, vectors, self._asked, self.job.model.max_length)
        undescribed = torch.from_numpy(~self.data.described).to(self.device)
        ranked = []
        for _, scores in score_blocks(states, vectors, seen=self._seen):
            scores[:, undescribed] = -torch.inf
            ranked.append(rank(scores, VALIDATION_K))
        metrics = per_user_metrics(np.concatenate(ranked), self._truth, VALIDATION_K)
        values = {f"{name}@{VALIDATION_K}": float(metrics[name].mean()) for name in METRICS}
        return Measured(next(iter(values)), values)

    def advice(self) -> Sequence[str]:
        """What may help against divergence beside a lower learning rate."""
        if self.job.training.loss != "softmax":
            return []
        return [f"raise training.temperature (now {self.job.training.temperature:g})"]

    def fingerprint(self) -> str:
        """Digest of histories, items, validation, configurations and start, 64 hexadecimal digits."""
        job = self.job
        kind = backbone_of(job.model).name
        settings = [kind, job.model.model_dump(mode="json"), job.training.model_dump(mode="json"), self._start]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        digest.update(job.graph.items.fingerprint.encode() + self.data.fingerprint.encode())
        lists: list[RaggedArray] = [self.windows]
        if job.validation is not None:
            lists += [self._asked, self._truth, self._seen]
        digest.update(self.windows.times.tobytes())
        for each in lists:
            digest.update(each.offsets.tobytes() + each.values.tobytes())
        return digest.hexdigest()

    # ------------------------------------------------------------------------------------------------ the result

    @torch.no_grad()
    def result(self, outcome: Outcome) -> SequenceModel:
        """The trained model."""
        job, graph = self.job, self.job.graph
        facts: dict[str, Any] = {
            "model": backbone_of(job.model).name,
            "steps": outcome.steps,
            "seed": self.context.seed,
            "device": str(self.device),
            "precision": self.context.precision,
            "seconds": round(outcome.seconds, 3),
            "history": list(outcome.history),
        }
        if outcome.best is not None:
            facts["validation"] = dict(outcome.best.values)
        if job.validation is not None:
            facts["validated"] = users_asked(job.validation, len(self._truth))
        return SequenceModel(
            config=job.model,
            facts=facts,
            vectors=_numpy(self.network.items.all()),
            described=self.data.described,
            weights=SequenceWeights(
                tensors={name: _numpy(weight.value) for name, weight in self._weights.items()},
                touched=self.data.touched,
                nodes=self.data.nodes,
                vocabularies={name: graph.vocabulary(name) for name in graph.nodes},
            ),
        )


def _numpy(tensor: Tensor) -> Any:
    """A copy on the CPU, float32."""
    return tensor.detach().to("cpu", torch.float32).numpy().astype(np.float32, copy=True)
