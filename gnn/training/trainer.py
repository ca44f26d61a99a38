"""One trainer for every encoder with weights: early stopping, checkpoints, a log, and a guard against divergence."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnn.distributed import Ranks, by_columns
from gnn.evaluation.validation import Validation
from gnn.graph.cold_start import place_cold_items
from gnn.graph.embeddings import Embeddings, item_prior, item_scale
from gnn.graph.gcn import GCN
from gnn.graph.layer0 import TextVectors
from gnn.graph.lightgcn import LightGCN, chosen_relations, to_numpy
from gnn.graph.propagation import NOTHING, Mask
from gnn.graph.warm_start import FREE, Parameters, foretold
from gnn.sampling import Batches, Stream, uniform
from gnn.settings import LightGCNConfig, ModelConfig, TrainingConfig
from gnn.training.checkpoint import CHECKPOINT, Checkpoint, fingerprint
from gnn.training.context import RunContext
from gnn.training.handover import Job
from gnn.training.objective import Objective
from gnn.training.validation import Validator
from kg import KnowledgeGraph
from kg.errors import ConfigError, InvalidDataError, TrainingError
from kg.io.files import write_text
from kg.progress import SILENT
from kg.topology.adjacency import Numbering

__all__ = ["CHECKPOINT", "ModelConfig", "RunContext", "TrainingConfig", "Validation", "assist", "fit"]

CHECK_EVERY = 10


def fit(
    graph: KnowledgeGraph,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    features: TextVectors | None = None,
    validation: Validation | None = None,
    steps: int | None = None,
    beta: float | None = None,
    prior: float | None = None,
    cold_scale: float | None = None,
    start: Parameters | None = None,
    context: RunContext | None = None,
) -> Embeddings:
    """Train an encoder on a graph.

    With `validation` training stops early on NDCG@20 over all items, seen ones left out, and the best step under the
    best beta or prior is returned. With `steps` exactly that many are taken: the recipe that an earlier run found
    (`facts["steps"]`, `beta`, `prior` and `cold_scale`), on more data. With neither, `training.max_steps`.

    Args:
        graph: the training view: everything in it may be learned from.
        model: which encoder, and its hyper-parameters.
        training: the loss and the schedule.
        features: text vectors of nodes.
        validation: what to stop on.
        steps: steps to take; not together with `validation`.
        beta: popularity exponent of the result when nothing validates it; None: the first of `training.betas`, or 0.
        prior: weight of the popularity in the result when nothing validates it; None: 0.
        cold_scale: factor of placed items (gnn.graph.cold_start) when nothing validates it; None: 1.
        start: parameters of an earlier training to go on from, with a fresh optimiser; None: begin anew.
        context: device, seed, progress, checkpoints, log, ranks.

    Returns:
        The vectors; `facts` holds configurations, steps, seed, beta, validation metrics and seconds.

    Raises:
        InvalidDataError: the graph has no positive interactions to learn from.
        TrainingError: the loss or a parameter is no longer a number, or another rank was lost; the last good checkpoint
            is kept.
        ConfigError: contradicting arguments, an unknown relation, a device that is not there, or a model that several
            ranks cannot share.
    """
    context = context or RunContext()
    if not context.ranks.first:
        raise ConfigError("only the first rank calls fit; the others call assist, and are given what to train on")
    given = Job(
        graph=graph,
        model=model,
        training=training,
        features=features,
        validation=validation,
        steps=steps,
        beta=beta,
        prior=prior,
        device=context.device,
        seed=context.seed,
        precision=context.precision,
    )
    prepared = _Fit(given, context, start)
    if context.ranks.count > 1:
        given.give(context.ranks)
    prepared.run()
    found = prepared.result()
    assert found is not None  # noqa: S101 (this is the first rank)
    if isinstance(model, LightGCNConfig) and model.knowledge == "cold_items":
        found = place_cold_items(
            found,
            graph,
            training,
            relations=chosen_relations(graph, model.relations),
            features=features if model.text else None,
            validation=validation,
            scale=cold_scale,
        )
    return found


def assist(ranks: Ranks) -> None:
    """Take part in the trainings of the first rank, which gets the vectors, until it has no more.

    Raises:
        ConfigError: there are fewer GPUs on this machine than ranks.
        TrainingError: a training diverged, or another rank was lost.
    """
    while (job := Job.take(ranks)) is not None:
        helped = _Fit(job, RunContext(device=job.device, seed=job.seed, precision=job.precision, ranks=ranks))
        helped.run()
        helped.result()


@dataclass
class _Best:
    """The best validation so far."""

    step: int = 0
    beta: float = 0.0
    prior: float = 0.0
    ndcg: float = -1.0
    recall: float = 0.0
    misses: int = 0


class _Fit:
    """One training: the state that a checkpoint holds, and the step."""

    def __init__(self, job: Job, context: RunContext, start: Parameters | None = None) -> None:
        graph, model, training, features, validation = job.graph, job.model, job.training, job.features, job.validation
        if job.steps is not None and validation is not None:
            raise ConfigError("fit takes `validation` (to find the steps) or `steps` (found before), not both")
        if job.steps is not None and job.steps < 1:
            raise ConfigError(f"steps = {job.steps} must be at least 1")
        self.graph, self.config, self.training, self.context = graph, model, training, context
        self.ranks = context.ranks
        self.device = self.ranks.device(context.device)
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[context.precision]
        self.max_steps = job.steps or training.max_steps
        self.beta = (*training.betas, 0.0)[0] if job.beta is None else job.beta
        self.prior = job.prior or 0.0
        self.numbering = Numbering.of(graph)
        self.users = self.numbering.span(graph.schema.user_type)
        self.items = self.numbering.span(graph.schema.item_type)
        self.encoder: LightGCN | GCN
        if isinstance(model, LightGCNConfig):
            self.encoder = LightGCN(
                graph,
                model,
                features=features,
                seed=context.seed,
                device=self.device,
                dtype=self.dtype,
                columns=self.ranks.columns(model.dim),
            )
        elif self.ranks.count == 1:
            self.encoder = GCN(graph, model, features=features, seed=context.seed, device=self.device, dtype=self.dtype)
        else:
            raise ConfigError("a GCN's layers mix columns, so that several ranks cannot share them: train it in one")
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
        popularity = np.bincount(self.pair_items.cpu().numpy(), minlength=len(graph.items))
        self.popularity = popularity
        self.cold = popularity == 0
        self.untouched = torch.from_numpy(self.cold).to(self.device)
        # Without texts and knowledge nothing could place a cold item: LightGCN as published has no second pass.
        self.cold_pass = training.cold_weight > 0 and (
            self.encoder.layer0.projection is not None
            or any(graph.schema.relations[key].event is None for key in self.encoder.propagation.relations)
        )
        self.objective = Objective(
            self.numbering,
            (graph.schema.user_type, graph.schema.item_type),
            (self.pair_users, self.pair_items),
            popularity,
            training,
            cold_pass=self.cold_pass,
            seed=context.seed,
            dtype=self.dtype,
            ranks=self.ranks,
        )
        self.parameters = {
            name: parameter
            for name, parameter in [*self.encoder.named_parameters(), *self.objective.named_parameters()]
            if parameter.requires_grad
        }
        self.shared = [parameter for parameter in self.parameters.values() if not by_columns(parameter)]
        # One fused update where torch has it: the optimiser is a visible part of a CPU step otherwise.
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.validator = None
        if validation is not None:
            self.validator = Validator(
                graph, validation, training, seed=context.seed, device=self.device, ranks=self.ranks
            )
        self.step = 0
        self.seconds = 0.0
        self.best = _Best()
        self.best_parameters: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.start = start
        self.fingerprint = ""
        if context.checkpoints is not None:
            begun = None if start is None else start.fingerprint
            settings = (context.seed, context.precision, self.max_steps, self.beta, self.prior, begun)
            self.fingerprint = fingerprint(
                graph, self.encoder.propagation, features, validation, model, training, *settings
            )

    # ------------------------------------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Train, from a checkpoint or from the start."""
        self.checkpointing: bool = self.ranks.tell(self.context.checkpoints is not None)
        self._begin()
        self._resume()
        started = time.perf_counter() - self.seconds
        progress = self.context.progress if self.ranks.first else SILENT
        with progress.task("train", total=self.max_steps) as task:
            task.advance(self.step)
            loss = torch.zeros((), device=self.device)
            while self.step < self.max_steps and not self._stopped():
                loss = self._train_step()
                self.step += 1
                task.advance()
                last = self.step == self.max_steps
                if self.device.type == "cpu" or self.step % CHECK_EVERY == 0 or last:
                    self._check(float(loss))  # waits for the device
                if self.step % self.training.eval_every == 0 or last:
                    self._check_parameters()
                    self.seconds = time.perf_counter() - started
                    self._record(float(loss))
                    self._save()
                    task.note(self._note(float(loss)))
                    if self.context.on_validation is not None and self.ranks.first:
                        self.context.on_validation(self.history)
        if self.best_parameters:
            self._load(self.parameters, self.best_parameters)

    def _begin(self) -> None:
        """Take the values of the training that this one goes on from; the first rank has them, and hands them out."""
        starts = None if self.start is None else self.start.starts(self.graph, self.encoder.propagation.relations)
        given = self.ranks.tell(None if starts is None else sorted(starts))
        for name, parameter in self.parameters.items():
            if given is None or name not in given:
                continue
            whole = None if starts is None else torch.from_numpy(starts[name]).to(parameter.dtype)
            self._load({name: parameter}, {name: self.ranks.scatter(whole, parameter).to(self.device)})
        if given is not None and FREE in given:
            self._foretell()

    @torch.no_grad()
    def _foretell(self) -> None:
        """Put the free embeddings of new users and items where those of taught ones let expect them."""
        encoder = self.encoder
        if not isinstance(encoder, LightGCN):  # what a node receives cannot be told from what it has
            return
        encoded = encoder()
        parameter = self.parameters[FREE]
        received = self.ranks.gather(encoded.final - encoder.alphas[0] * encoded.base)
        free = self.ranks.gather(parameter)
        if self.start is not None and received is not None and free is not None:
            known, owns = self.start.known(self.graph), encoder.layer0.taught
            for span in (self.users, self.items):
                new = owns[span] & ~known[span]
                found = foretold(received[span].numpy(), free[span].numpy(), taught=known[span] & owns[span], new=new)
                free[span.start + torch.from_numpy(np.flatnonzero(new))] = torch.from_numpy(found).to(free.dtype)
        self._load({FREE: parameter}, {FREE: self.ranks.scatter(free, parameter).to(self.device)})

    def _stopped(self) -> bool:
        return self.validator is not None and self.best.misses >= self.training.patience

    def _train_step(self) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        edges = self.batches(self.step)
        users, items = self.pair_users[edges].long(), self.pair_items[edges].long()
        mask = Mask(edges=edges) if self.training.drop_batch_edges else NOTHING
        encoded = self.encoder(mask, self._dropout(Stream.DROPOUT))
        loss: Tensor = self.objective(
            encoded, users, items, cold=self.untouched, step=self.step, stream=Stream.NEGATIVES
        )
        if self.cold_pass:
            index = torch.arange(len(self.graph.items), device=self.device)
            draw = uniform(index, seed=self.context.seed, step=self.step, stream=Stream.COLD_ITEMS)
            cold = draw < self.training.cold_fraction
            chosen = cold[items]
            if chosen.any():
                encoded = self.encoder(Mask(cold=cold), self._dropout(Stream.COLD_DROPOUT))
                second = self.objective(
                    encoded,
                    users[chosen],
                    items[chosen],
                    cold=cold | self.untouched,
                    step=self.step,
                    stream=Stream.COLD_NEGATIVES,
                )
                loss = loss + self.training.cold_weight * second
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()
        self.ranks.add(loss, *(parameter.grad for parameter in self.shared if parameter.grad is not None))
        self.optimizer.step()
        return loss

    def _dropout(self, stream: Stream) -> Tensor | None:
        rate = self.training.node_dropout
        if not rate:
            return None
        index = torch.arange(len(self.numbering), device=self.device)
        kept = uniform(index, seed=self.context.seed, step=self.step, stream=stream) >= rate
        return (kept.to(self.dtype) / (1 - rate))[:, None]

    # ------------------------------------------------------------------------------------------------ validation

    @torch.no_grad()
    def _record(self, loss: float) -> None:
        line: dict[str, Any] = {"step": self.step, "loss": round(loss, 6), "seconds": round(self.seconds, 3)}
        if self.validator is not None:
            final = self.encoder().final
            found = self.validator.measure(
                final[self.users][self.validator.users],
                final[self.items],
                cold=self.cold,
                cold_scale=self.objective.cold_scale,
            )
            line |= {"ndcg@20": round(found.ndcg, 6), "recall@20": round(found.recall, 6), "beta": found.beta}
            line["prior"] = found.prior
            if found.ndcg > self.best.ndcg:
                self.best = _Best(self.step, found.beta, found.prior, found.ndcg, found.recall)
                self.best_parameters = {name: value.detach().clone() for name, value in self.parameters.items()}
            else:
                self.best.misses += 1
        self.history.append(line)
        if self.context.log is not None and self.ranks.first:
            write_text(self.context.log, "".join(json.dumps(entry) + "\n" for entry in self.history))

    def _note(self, loss: float) -> str:
        if self.validator is None:
            return f"loss {loss:.4f}"
        return f"loss {loss:.4f}, NDCG@20 {self.history[-1]['ndcg@20']:.4f} (best {self.best.ndcg:.4f})"

    # ------------------------------------------------------------------------------------------------ guard

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(self._diverged(f"the loss is {loss}"))

    def _check_parameters(self) -> None:
        bad = torch.stack([~torch.isfinite(value.detach()).all() for value in self.parameters.values()]).to(self.dtype)
        self.ranks.add(bad)
        for name, found in zip(self.parameters, bad.tolist(), strict=True):
            if found:
                raise TrainingError(self._diverged(f"{name} holds values that are no numbers"))

    def _diverged(self, what: str) -> str:
        advice = f"lower training.learning_rate (now {self.training.learning_rate:g})"
        if self.training.loss == "softmax":
            advice += f" or raise training.temperature (now {self.objective.temperature:g})"
        kept = ""
        if self.context.checkpoints is not None and (self.context.checkpoints / CHECKPOINT).exists():
            kept = f"; the last good checkpoint is {self.context.checkpoints / CHECKPOINT}"
        return f"training diverged at step {self.step}: {what}; {advice}{kept}"

    # ------------------------------------------------------------------------------------------------ checkpoints

    def _save(self) -> None:
        if not self.checkpointing:
            return
        tensors: dict[str, Tensor | None] = {}
        for name, parameter in self.parameters.items():
            tensors[f"parameter.{name}"] = self.ranks.gather(parameter)
            if name in self.best_parameters:
                tensors[f"best.{name}"] = self.ranks.gather(self.best_parameters[name])
            for moment, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{moment}.{name}"] = self.ranks.gather(value)
        if self.ranks.first and self.context.checkpoints is not None:
            state = {"step": self.step, "seconds": self.seconds, "best": asdict(self.best), "history": self.history}
            whole = {name: value for name, value in tensors.items() if value is not None}
            Checkpoint(whole, state).save(self.context.checkpoints, self.fingerprint)

    def _resume(self) -> None:
        """Go on from a checkpoint of this very training; one of another training, or a damaged one, is overwritten.

        The first rank reads it and hands out the columns, whatever number of ranks it was written by.
        """
        found = None
        if self.ranks.first and self.context.checkpoints is not None:
            found = Checkpoint.load(self.context.checkpoints, self.fingerprint)
        state = self.ranks.tell(None if found is None else found.state)
        if state is None:
            return

        def handed(name: str, like: Tensor) -> Tensor:
            return self.ranks.scatter(None if found is None else found.tensors[name], like).to(self.device)

        counted = torch.zeros((), dtype=torch.float32)
        for name, parameter in self.parameters.items():
            self._load({name: parameter}, {name: handed(f"parameter.{name}", parameter)})
            if state["best"]["step"]:
                self.best_parameters[name] = handed(f"best.{name}", parameter)
            for moment, like in (("step", counted), ("exp_avg", parameter), ("exp_avg_sq", parameter)):
                self.optimizer.state[parameter][moment] = handed(f"adam.{moment}.{name}", like)
        self.step, self.seconds, self.history = state["step"], state["seconds"], list(state["history"])
        self.best = _Best(**state["best"])

    @torch.no_grad()
    def _load(self, parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            parameters[name].copy_(value)

    # ------------------------------------------------------------------------------------------------ the result

    @torch.no_grad()
    def result(self) -> Embeddings | None:
        """The vectors, in the first rank."""
        final = self.ranks.gather(self.encoder().final)
        linear = self.encoder.linear_parts(self.ranks)
        tensors = {name: self.ranks.gather(parameter) for name, parameter in self.parameters.items()}
        if final is None:
            return None
        vectors = to_numpy(final)
        beta, prior = (self.beta, self.prior) if self.validator is None else (self.best.beta, self.best.prior)
        facts: dict[str, Any] = {
            "model": type(self.encoder).__name__,
            "model_config": asdict(self.config),
            "training_config": asdict(self.training),
            "steps": self.step if self.validator is None else self.best.step,
            "seed": self.context.seed,
            "beta": beta,
            "prior": prior,
            "device": str(self.device),
            "precision": self.context.precision,
            "temperature": self.objective.temperature,
            "seconds": round(self.seconds, 3),
            "history": self.history,
        }
        if self.validator is not None:
            facts["validation"] = {"ndcg@20": self.best.ndcg, "recall@20": self.best.recall}
        cold_scale = self.objective.cold_scale
        return Embeddings(
            numbering=self.numbering,
            fingerprints={name: self.graph.vocabulary(name).fingerprint for name in self.graph.nodes},
            user_type=self.graph.schema.user_type,
            item_type=self.graph.schema.item_type,
            final=vectors,
            item_scale=item_scale(vectors[self.items], beta, cold=self.cold, cold_scale=cold_scale),
            item_prior=item_prior(self.popularity, prior),
            beta=beta,
            prior=prior,
            cold=self.cold,
            cold_scale=cold_scale,
            linear=linear,
            facts=facts,
            parameters=Parameters(
                tensors={name: to_numpy(value) for name, value in tensors.items() if value is not None},
                taught=self.encoder.layer0.taught,
                nodes={name: self.graph.vocabulary(name) for name in self.graph.nodes},
                relations=self.encoder.propagation.relations,
            ),
        )
