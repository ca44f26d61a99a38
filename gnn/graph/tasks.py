"""What the trainer trains on a graph: LightGCN and GCN on the positive pairs of users and items."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from gnn.graph.cold_start import place_cold_items
from gnn.graph.embeddings import Embeddings, item_prior, item_scale
from gnn.graph.encoder import GraphEncoder
from gnn.graph.gcn import GCN
from gnn.graph.job import TrainingJob
from gnn.graph.lightgcn import LightGCN, chosen_relations, to_numpy
from gnn.graph.objective import Objective
from gnn.graph.propagation import NOTHING, Mask
from gnn.graph.validator import Validator
from gnn.graph.warm_start import FREE, Parameters, predict_free
from gnn.sampling import Batches, Stream, uniform
from gnn.settings import GCNConfig, LightGCNConfig
from gnn.training.context import RunContext
from gnn.training.task import Measured, Outcome, Weight
from gnn.training.validation import users_asked
from kg.errors import ConfigError, InvalidDataError
from kg.topology.adjacency import Numbering

Encoder = TypeVar("Encoder", bound=GraphEncoder)


class GraphTask(ABC, Generic[Encoder]):
    """A graph model, trained on pairs of a user and an item that the user liked; see `gnn.training.task.TrainingTask`.

    Attributes:
        job: graph, configurations, texts, validation.
        context: device, seed, precision, ranks.
        encoder: the model.
        objective: the loss.
        users, items: the rows of both in the encoded graph.
    """

    name: ClassVar[str]

    def __init__(self, job: TrainingJob, context: RunContext) -> None:
        graph, training = job.graph, job.training
        self.job, self.context = job, context
        self.numbering = Numbering.of(graph)
        self.users = self.numbering.span(graph.schema.user_type)
        self.items = self.numbering.span(graph.schema.item_type)
        self.device = context.torch_device
        self.encoder: Encoder = self._build()
        self.pair_users, self.pair_items = self.encoder.propagation.pairs
        if not len(self.pair_users):
            raise InvalidDataError("there is no positive interaction to learn from: check the positive rule")
        self.batches = Batches(
            len(self.pair_users),
            training.batch_size,
            seed=context.seed,
            device=self.device,
            together=self.pair_users if training.whole_users else None,
        )
        self._likes = np.bincount(self.pair_items.cpu().numpy(), minlength=len(graph.items))
        self._cold = self._likes == 0
        self.cold = torch.from_numpy(self._cold).to(self.device)
        # Without texts and knowledge nothing could place a cold item: LightGCN as published has no second pass.
        self._cold_pass = training.cold_weight > 0 and (
            self.encoder.layer0.projection is not None
            or any(graph.schema.relations[key].event is None for key in self.encoder.propagation.relations)
        )
        self.objective = Objective(
            self.numbering,
            (graph.schema.user_type, graph.schema.item_type),
            (self.pair_users, self.pair_items),
            self._likes,
            training,
            cold_pass=self._cold_pass,
            seed=context.seed,
            dtype=context.dtype,
            ranks=context.ranks,
        )
        named = [*self.encoder.named_parameters(), *self.objective.named_parameters()]
        self._weights = {
            name: Weight(parameter, self._is_split(parameter)) for name, parameter in named if parameter.requires_grad
        }
        self._validator = None
        if job.validation is not None:
            self._validator = Validator(
                graph, job.validation, training, seed=context.seed, device=self.device, ranks=context.ranks
            )
        self._start_fingerprint = ""

    @abstractmethod
    def _build(self) -> Encoder:
        """The untrained model."""

    @abstractmethod
    def _is_split(self, parameter: Tensor) -> bool:
        """Whether each rank holds some of the columns of a parameter."""

    # ------------------------------------------------------------------------------------------------ the start

    def start_from(self, start: Parameters | None) -> None:
        """Take the weights of an earlier training as the start; all ranks call it.

        Args:
            start: in the first rank; None for a random start, and in the others.
        """
        ranks, values = self.context.ranks, None
        if start is not None:
            values = start.starts(self.job.graph, self.encoder.propagation.relations)
            self._start_fingerprint = start.fingerprint
        names = ranks.broadcast(None if values is None else sorted(values))
        for name, weight in self._weights.items():
            if names is not None and name in names:
                whole = None if values is None else torch.from_numpy(values[name]).to(weight.value.dtype)
                weight.assign(weight.scatter(whole, ranks))
        if names is not None and FREE in names:
            self._start_new_nodes(start)

    def _start_new_nodes(self, start: Parameters | None) -> None:
        """Set the free embeddings of users and items that the earlier training did not have; zero without a rule."""

    # ------------------------------------------------------------------------------------------------ a step

    def parameters(self) -> Mapping[str, Weight]:
        """The weights of the model and of the loss."""
        return self._weights

    def loss(self, step: int) -> Tensor:
        """The loss of a batch of pairs, and of a second pass in which some items look cold.

        Args:
            step: from 0.
        """
        training = self.job.training
        edges = self.batches(step)
        users, items = self.pair_users[edges].long(), self.pair_items[edges].long()
        mask = Mask(edges=edges) if training.drop_batch_edges else NOTHING
        encoded = self.encoder(mask, self._dropout(step, Stream.DROPOUT))
        loss: Tensor = self.objective(encoded, users, items, cold=self.cold, step=step, stream=Stream.NEGATIVES)
        if not self._cold_pass:
            return loss
        index = torch.arange(len(self.job.graph.items), device=self.device)
        draw = uniform(index, seed=self.context.seed, step=step, stream=Stream.COLD_ITEMS)
        cold = draw < training.cold_fraction
        chosen = cold[items]
        if chosen.any():
            encoded = self.encoder(Mask(cold=cold), self._dropout(step, Stream.COLD_DROPOUT))
            second = self.objective(
                encoded,
                users[chosen],
                items[chosen],
                cold=cold | self.cold,
                step=step,
                stream=Stream.COLD_NEGATIVES,
            )
            loss = loss + training.cold_weight * second
        return loss

    def _dropout(self, step: int, stream: Stream) -> Tensor | None:
        rate = self.job.training.node_dropout
        if not rate:
            return None
        index = torch.arange(len(self.numbering), device=self.device)
        kept = uniform(index, seed=self.context.seed, step=step, stream=stream) >= rate
        return (kept.to(self.context.dtype) / (1 - rate))[:, None]

    # ------------------------------------------------------------------------------------------------ validation

    @torch.no_grad()
    def validate(self) -> Measured | None:
        """NDCG@20 and recall@20 under the best beta or prior."""
        if self._validator is None:
            return None
        final = self.encoder().final
        return self._validator.measure(
            final[self.users][self._validator.users],
            final[self.items],
            cold=self._cold,
            cold_scale=self.objective.cold_scale,
        )

    def advice(self) -> Sequence[str]:
        """What may help against divergence beside a lower learning rate."""
        if self.job.training.loss != "softmax":
            return []
        return [f"raise training.temperature (now {self.objective.temperature:g})"]

    def fingerprint(self) -> str:
        """Digest of graph, texts, validation, configurations and start, 64 hexadecimal digits."""
        job = self.job
        settings = [self.name, job.model.model_dump(), job.training.model_dump(), self._start_fingerprint]
        digest = hashlib.sha256(json.dumps([*settings, job.beta, job.prior], sort_keys=True).encode())
        for name in job.graph.nodes:
            digest.update(job.graph.vocabulary(name).fingerprint.encode())
        propagation = self.encoder.propagation
        for key, ends in zip(propagation.relations, propagation.ends(), strict=True):
            digest.update(str(key).encode())
            for end in ends:
                digest.update(end.cpu().numpy().data)
        if job.features is not None:
            digest.update(np.ascontiguousarray(job.features.nodes).tobytes())
            digest.update(np.ascontiguousarray(job.features.vectors).tobytes())
        if job.validation is not None:
            for lists in (job.validation.truth, job.validation.seen):
                digest.update(lists.offsets.tobytes() + lists.values.tobytes())
        return digest.hexdigest()

    # ------------------------------------------------------------------------------------------------ the result

    @torch.no_grad()
    def result(self, outcome: Outcome) -> Embeddings | None:
        """The vectors, in the first rank."""
        job, ranks = self.job, self.context.ranks
        final = ranks.gather(self.encoder().final, split=True)
        linear = self.encoder.linear_parts(ranks)
        tensors = {name: weight.gather(weight.value, ranks) for name, weight in self._weights.items()}
        if final is None:
            return None
        vectors = to_numpy(final)
        beta = (*job.training.betas, 0.0)[0] if job.beta is None else job.beta
        prior = job.prior or 0.0
        if outcome.best is not None:
            beta, prior = outcome.best.choices["beta"], outcome.best.choices["prior"]
        facts: dict[str, Any] = {
            "model": self.name,
            "model_config": job.model.model_dump(),
            "training_config": job.training.model_dump(),
            "steps": outcome.steps,
            "seed": self.context.seed,
            "beta": beta,
            "prior": prior,
            "device": str(self.device),
            "precision": self.context.precision,
            "temperature": self.objective.temperature,
            "seconds": round(outcome.seconds, 3),
            "history": list(outcome.history),
        }
        if outcome.best is not None:
            facts["validation"] = dict(outcome.best.values)
        if job.validation is not None and self._validator is not None:
            facts["validated"] = users_asked(job.validation, len(self._validator.users))
        graph, cold_scale = job.graph, self.objective.cold_scale
        return Embeddings(
            numbering=self.numbering,
            fingerprints={name: graph.vocabulary(name).fingerprint for name in graph.nodes},
            user_type=graph.schema.user_type,
            item_type=graph.schema.item_type,
            final=vectors,
            item_scale=item_scale(vectors[self.items], beta, cold=self._cold, cold_scale=cold_scale),
            item_prior=item_prior(self._likes, prior),
            beta=beta,
            prior=prior,
            cold=self._cold,
            cold_scale=cold_scale,
            linear=linear,
            facts=facts,
            parameters=Parameters(
                tensors={name: to_numpy(value) for name, value in tensors.items() if value is not None},
                trained=self.encoder.layer0.trained,
                nodes={name: graph.vocabulary(name) for name in graph.nodes},
                relations=self.encoder.propagation.relations,
            ),
        )


class LightGCNTask(GraphTask[LightGCN]):
    """The linear model; several ranks share its columns."""

    name = "LightGCN"

    def _config(self) -> LightGCNConfig:
        assert isinstance(self.job.model, LightGCNConfig)  # noqa: S101 (TASKS says so)
        return self.job.model

    def _build(self) -> LightGCN:
        return LightGCN(
            self.job.graph,
            self._config(),
            features=self.job.features,
            seed=self.context.seed,
            device=self.device,
            dtype=self.context.dtype,
            columns=self.context.ranks.columns(self._config().dim),
        )

    def _is_split(self, parameter: Tensor) -> bool:
        return parameter.dim() > 1

    @torch.no_grad()
    def _start_new_nodes(self, start: Parameters | None) -> None:
        """Predict the free embeddings of new users and items from what they receive from their neighbours."""
        ranks, weight = self.context.ranks, self._weights[FREE]
        encoded = self.encoder()
        received = weight.gather(encoded.final - self.encoder.alphas[0] * encoded.base, ranks)
        free = weight.gather(weight.value, ranks)
        if start is not None and received is not None and free is not None:
            learned, owns = start.learned(self.job.graph), self.encoder.layer0.trained
            for span in (self.users, self.items):
                new = owns[span] & ~learned[span]
                predicted = predict_free(
                    received[span].numpy(), free[span].numpy(), trained=learned[span] & owns[span], new=new
                )
                free[span.start + torch.from_numpy(np.flatnonzero(new))] = torch.from_numpy(predicted).to(free.dtype)
        weight.assign(weight.scatter(free, ranks))

    def result(self, outcome: Outcome) -> Embeddings | None:
        """The vectors, in the first rank; with `knowledge = "cold_items"` untouched items are placed."""
        job, config = self.job, self._config()
        embeddings = super().result(outcome)
        if embeddings is None or config.knowledge != "cold_items":
            return embeddings
        return place_cold_items(
            embeddings,
            job.graph,
            job.training,
            relations=chosen_relations(job.graph, config.relations),
            features=job.features if config.text else None,
            validation=job.validation,
            scale=job.cold_scale,
        )


class GCNTask(GraphTask[GCN]):
    """The plain GCN, in one process."""

    name = "GCN"

    def _build(self) -> GCN:
        config = self.job.model
        assert isinstance(config, GCNConfig)  # noqa: S101 (TASKS says so)
        if self.context.ranks.count > 1:
            raise ConfigError("a GCN's layers mix columns, so that several ranks cannot share them: train it in one")
        return GCN(
            self.job.graph,
            config,
            features=self.job.features,
            seed=self.context.seed,
            device=self.device,
            dtype=self.context.dtype,
        )

    def _is_split(self, parameter: Tensor) -> bool:
        return False


TASKS: dict[type[Any], type[GraphTask[Any]]] = {LightGCNConfig: LightGCNTask, GCNConfig: GCNTask}


def make_task(job: TrainingJob, context: RunContext) -> GraphTask[Any]:
    """The task of a job's model.

    Raises:
        InvalidDataError: the graph has no positive interactions to learn from.
        ConfigError: an unknown relation, a device that is not there, or a model that several ranks cannot share.
    """
    return TASKS[type(job.model)](job, context)
