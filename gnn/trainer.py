"""One trainer for every encoder with weights: early stopping, checkpoints, a log, and a guard against divergence."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from gnn.device import resolve_device
from gnn.embeddings import Embeddings, FloatArray, item_scale
from gnn.encoder import Encoded
from gnn.gcn import GCN, GCNConfig
from gnn.layer0 import TextVectors
from gnn.lightgcn import LightGCN, LightGCNConfig, check_at_least, to_numpy
from gnn.losses import bpr, sampled_softmax, softmax_all, squared_norm
from gnn.metrics import per_user_metrics
from gnn.propagation import NOTHING, Mask
from gnn.sampling import Batches, NegativeSampler, Stream, uniform
from gnn.topk import rank, score_blocks
from kg import ItemLists, KnowledgeGraph
from kg.adjacency import Numbering
from kg.errors import ConfigError, InvalidDataError, TrainingError
from kg.files import atomic_path, write_text
from kg.progress import SILENT, Progress

ModelConfig = LightGCNConfig | GCNConfig
CHECKPOINT = "checkpoint.safetensors"
VALIDATION_K = 20
BPR_ROUNDS = 4
CHECK_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train.

    Attributes:
        loss: "softmax" or "bpr".
        similarity: what the softmax compares, "cosine" or "dot" (BPR is always the dot product).
        temperature: the softmax's divisor.
        learn_temperature: train it, from that start.
        negatives: items drawn for each step, shared by the batch; 0: all items compete (full softmax).
        negative_power: negatives are drawn by popularity to this power, 0 is uniform.
        log_q: correct the softmax for what the negatives were drawn from.
        touched_only: only items with a positive interaction compete as negatives.
        batch_size: positive pairs a step.
        learning_rate: of Adam.
        weight_decay: decoupled (AdamW), a step's shrinkage is learning_rate * weight_decay.
        l2: weight of the L2 term on the layer-0 embeddings of the batch, as in the LightGCN paper.
        node_dropout: share of the nodes whose free embedding is left out of a step.
        drop_batch_edges: take the batch's own positive edges out of the step: each is an edge of A as well.
        cold_weight: weight of the second pass, in which items are made to look cold; 0 leaves it out, as does a model
            with neither texts nor knowledge to place them by.
        cold_fraction: share of the items that are cold in the second pass of a step.
        max_steps: steps at most.
        eval_every: steps between validations and checkpoints.
        patience: validations without a better one before training stops.
        betas: popularity exponents to choose from on validation (0 cosine, 1 dot product).
        validation_users: users that a validation during training ranks for, at most; a seeded choice.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    loss: Literal["softmax", "bpr"] = "softmax"
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: float = 0.1
    learn_temperature: bool = False
    negatives: int = 1024
    negative_power: float = 0.0
    log_q: bool = True
    touched_only: bool = False
    batch_size: int = 2048
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    l2: float = 0.0
    node_dropout: float = 0.0
    drop_batch_edges: bool = False
    cold_weight: float = 0.5
    cold_fraction: float = 1 / 3
    max_steps: int = 240
    eval_every: int = 20
    patience: int = 5
    betas: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    validation_users: int = 10_000

    def __post_init__(self) -> None:
        for name, allowed in (("loss", ("softmax", "bpr")), ("similarity", ("cosine", "dot"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"training.{name} = {getattr(self, name)!r} is unknown: use {' or '.join(allowed)}")
        check_at_least("training", self, 1, "batch_size", "max_steps", "eval_every", "patience", "validation_users")
        check_at_least("training", self, 0, "negatives", "negative_power", "weight_decay", "l2", "cold_weight")
        for name in ("temperature", "learning_rate"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise ConfigError(f"training.{name} = {getattr(self, name)} must be above 0")
        for name in ("node_dropout", "cold_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"training.{name} = {getattr(self, name)} must be at least 0 and below 1")
        if not self.betas or not all(math.isfinite(beta) for beta in self.betas):
            raise ConfigError(f"training.betas = {self.betas} must name at least one finite number")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Where and how loudly to train; nothing in here changes what is learned but the seed and the precision.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:N".
        seed: of the start, the batches, the negatives and the masks.
        precision: of all parameters and products.
        progress: who listens.
        checkpoints: folder of the checkpoint that a killed training goes on from; None: no checkpoints.
        log: JSON lines, one a validation; None: no log.
    """

    device: str = "auto"
    seed: int = 0
    precision: Literal["float32", "float64"] = "float32"
    progress: Progress = SILENT
    checkpoints: Path | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What early stopping measures.

    Attributes:
        truth: items each user liked in the validation part, (users,) lists.
        seen: items left out of each user's ranking, (users,) lists.
    """

    truth: ItemLists
    seen: ItemLists


def fit(
    graph: KnowledgeGraph,
    model: ModelConfig,
    training: TrainingConfig,
    *,
    features: TextVectors | None = None,
    validation: Validation | None = None,
    steps: int | None = None,
    beta: float | None = None,
    context: RunContext | None = None,
) -> Embeddings:
    """Train an encoder on a graph.

    With `validation` training stops early on NDCG@20 over all items, seen ones left out, and the best step under the
    best beta is returned. With `steps` exactly that many are taken: the recipe that an earlier run found
    (`facts["steps"]` and `beta`), on more data. With neither, `training.max_steps`.

    Args:
        graph: the training view: everything in it may be learned from.
        model: which encoder, and its hyper-parameters.
        training: the loss and the schedule.
        features: text vectors of nodes.
        validation: what to stop on.
        steps: steps to take; not together with `validation`.
        beta: popularity exponent of the result when nothing validates it; None: the first of `training.betas`.
        context: device, seed, progress, checkpoints, log.

    Returns:
        The vectors; `facts` holds configurations, steps, seed, beta, validation metrics and seconds.

    Raises:
        InvalidDataError: the graph has no positive interactions to learn from.
        TrainingError: the loss or a parameter is no longer a number; the last good checkpoint is kept.
        ConfigError: contradicting arguments, an unknown relation, or a device that is not there.
    """
    if steps is not None and validation is not None:
        raise ConfigError("fit takes `validation` (to find the steps) or `steps` (found before), not both")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps = {steps} must be at least 1")
    return _Fit(graph, model, training, features, validation, steps, beta, context or RunContext()).run()


@dataclass
class _Best:
    """The best validation so far."""

    step: int = 0
    beta: float = 0.0
    ndcg: float = -1.0
    recall: float = 0.0
    misses: int = 0


class _Fit:
    """One training: the state that a checkpoint holds, and the step."""

    def __init__(
        self,
        graph: KnowledgeGraph,
        model: ModelConfig,
        training: TrainingConfig,
        features: TextVectors | None,
        validation: Validation | None,
        steps: int | None,
        beta: float | None,
        context: RunContext,
    ) -> None:
        self.graph, self.config, self.training, self.context = graph, model, training, context
        self.device = resolve_device(context.device)
        self.dtype = {"float32": torch.float32, "float64": torch.float64}[context.precision]
        self.max_steps = steps or training.max_steps
        self.beta = training.betas[0] if beta is None else beta
        self.numbering = Numbering.of(graph)
        self.users = self.numbering.span(graph.schema.user_type)
        self.items = self.numbering.span(graph.schema.item_type)
        encoder: type[LightGCN] | type[GCN] = LightGCN if isinstance(model, LightGCNConfig) else GCN
        self.encoder: LightGCN | GCN = encoder(
            graph,
            model,  # type: ignore[arg-type]
            features=features,
            seed=context.seed,
            device=self.device,
            dtype=self.dtype,
        )
        self.pair_users, self.pair_items = self.encoder.propagation.pairs
        if not len(self.pair_users):
            raise InvalidDataError("there is no positive interaction to learn from: check the positive rule")
        self.pair_keys = self.pair_users * len(graph.items) + self.pair_items
        self.batches = Batches(len(self.pair_users), training.batch_size, seed=context.seed, device=self.device)
        popularity = np.bincount(self.pair_items.cpu().numpy(), minlength=len(graph.items))
        self.cold = popularity == 0
        self.untouched = torch.from_numpy(self.cold).to(self.device)
        allowed = np.flatnonzero(popularity) if training.touched_only else None
        self.place = torch.full((len(graph.items),), -1, dtype=torch.int64, device=self.device)
        self.competing = torch.from_numpy(np.arange(len(graph.items)) if allowed is None else allowed).to(self.device)
        self.place[self.competing] = torch.arange(len(self.competing), device=self.device)
        self.sampler = NegativeSampler(popularity, power=training.negative_power, allowed=allowed, device=self.device)
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(training.temperature), dtype=self.dtype, device=self.device),
            requires_grad=training.learn_temperature,
        )
        # Without texts and knowledge nothing could place a cold item: LightGCN as published has no second pass.
        self.cold_pass = training.cold_weight > 0 and (
            self.encoder.layer0.projection is not None
            or any(graph.schema.relations[key].event is None for key in self.encoder.propagation.relations)
        )
        cosine = training.loss == "softmax" and training.similarity == "cosine"
        self.log_cold_scale = nn.Parameter(
            torch.zeros((), dtype=self.dtype, device=self.device), requires_grad=cosine and self.cold_pass
        )
        self.parameters = {
            name: parameter
            for name, parameter in [
                *self.encoder.named_parameters(),
                ("log_temperature", self.log_temperature),
                ("log_cold_scale", self.log_cold_scale),
            ]
            if parameter.requires_grad
        }
        # One fused update where torch has it: the optimiser is a visible part of a CPU step otherwise.
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self.validation = validation
        self.asked = None if validation is None else self._validation_users(validation)
        self.step = 0
        self.seconds = 0.0
        self.best = _Best()
        self.best_parameters: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self.fingerprint = self._fingerprint(features)

    # ------------------------------------------------------------------------------------------------ the loop

    def run(self) -> Embeddings:
        self._resume()
        started = time.perf_counter() - self.seconds
        with self.context.progress.task("train", total=self.max_steps) as task:
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
        if self.best_parameters:
            self._load(self.parameters, self.best_parameters)
        return self._result()

    def _stopped(self) -> bool:
        return self.validation is not None and self.best.misses >= self.training.patience

    def _train_step(self) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        edges = self.batches(self.step)
        users, items = self.pair_users[edges], self.pair_items[edges]
        mask = Mask(edges=edges) if self.training.drop_batch_edges else NOTHING
        encoded = self.encoder(mask, self._dropout(Stream.DROPOUT))
        loss = self._loss(encoded, users, items, Stream.NEGATIVES, self.untouched)
        if self.cold_pass:
            index = torch.arange(len(self.graph.items), device=self.device)
            draw = uniform(index, seed=self.context.seed, step=self.step, stream=Stream.COLD_ITEMS)
            cold = draw < self.training.cold_fraction
            chosen = cold[items]
            if chosen.any():
                encoded = self.encoder(Mask(cold=cold), self._dropout(Stream.COLD_DROPOUT))
                second = self._loss(encoded, users[chosen], items[chosen], Stream.COLD_NEGATIVES, cold | self.untouched)
                loss = loss + self.training.cold_weight * second
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _dropout(self, stream: Stream) -> Tensor | None:
        rate = self.training.node_dropout
        if not rate:
            return None
        index = torch.arange(len(self.numbering), device=self.device)
        kept = uniform(index, seed=self.context.seed, step=self.step, stream=stream) >= rate
        return (kept.to(self.dtype) / (1 - rate))[:, None]

    def _loss(self, encoded: Encoded, users: Tensor, items: Tensor, stream: Stream, cold: Tensor) -> Tensor:
        training = self.training
        everyone, everything = encoded.final[self.users], encoded.final[self.items]
        if training.loss == "bpr":
            wrong = self._bpr_negatives(users, stream)
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
                    everything if not training.touched_only else _rows(everything, self.competing),
                    self.place[items],
                    temperature=temperature,
                )
                wrong = None
            else:
                wrong = self.sampler(training.negatives, seed=self.context.seed, step=self.step, stream=stream)
                loss = sampled_softmax(
                    _rows(everyone, users),
                    _rows(everything, items),
                    _rows(everything, wrong),
                    positive_index=items,
                    negative_index=wrong,
                    temperature=temperature,
                    log_q=self.sampler.log_q[wrong] if training.log_q else None,
                )
        if training.l2:
            base_users, base_items = encoded.base[self.users], encoded.base[self.items]
            rows = [_rows(base_users, users), _rows(base_items, items)]
            if wrong is not None and training.loss == "bpr":
                rows.append(_rows(base_items, wrong))
            loss = loss + training.l2 * squared_norm(*rows)
        return loss

    def _bpr_negatives(self, users: Tensor, stream: Stream) -> Tensor:
        """An item for each pair that its user has not liked; after some rounds a liked one may remain."""
        count = len(users) * BPR_ROUNDS
        drawn = self.sampler(count, seed=self.context.seed, step=self.step, stream=stream).view(BPR_ROUNDS, -1)
        chosen = drawn[0]
        for other in drawn[1:]:
            keys = users * len(self.graph.items) + chosen
            at = torch.searchsorted(self.pair_keys, keys).clamp(max=len(self.pair_keys) - 1)
            chosen = torch.where(self.pair_keys[at] == keys, other, chosen)
        return chosen

    # ------------------------------------------------------------------------------------------------ validation

    def _validation_users(self, validation: Validation) -> tuple[Tensor, ItemLists, ItemLists]:
        for name in ("truth", "seen"):
            if len(getattr(validation, name)) != len(self.graph.users):
                raise InvalidDataError(
                    f"validation.{name} has {len(getattr(validation, name))} rows, the graph {len(self.graph.users)} "
                    "users: give a list for every user, empty where there is nothing"
                )
        chosen = np.flatnonzero(validation.truth.counts)
        if not len(chosen):
            raise InvalidDataError("no user has anything to find in the validation part: give it a larger share")
        if len(chosen) > self.training.validation_users:
            draw = uniform(torch.from_numpy(chosen), seed=self.context.seed, step=0, stream=Stream.VALIDATION)
            chosen = np.sort(chosen[torch.argsort(draw, stable=True)[: self.training.validation_users].numpy()])
        return torch.from_numpy(chosen).to(self.device), validation.truth.take(chosen), validation.seen.take(chosen)

    @torch.no_grad()
    def _record(self, loss: float) -> None:
        line: dict[str, Any] = {"step": self.step, "loss": round(loss, 6), "seconds": round(self.seconds, 3)}
        if self.asked is not None:
            who, truth, seen = self.asked
            final = self.encoder().final
            everyone, everything = final[self.users][who], final[self.items]
            betas = self.training.betas
            ranked: list[list[Any]] = [[] for _ in betas]
            scales = [torch.from_numpy(self._scale(to_numpy(everything), beta)).to(everything) for beta in betas]
            for _, scores in score_blocks(everyone, everything, seen=seen):
                # A seen item stays at minus infinity under every scale but 0, and a scale of 0 is that of no vector.
                for place, scale in enumerate(scales):
                    ranked[place].append(rank(torch.where(scores == -torch.inf, scores, scores * scale), VALIDATION_K))
            results = [per_user_metrics(np.concatenate(parts), truth, VALIDATION_K) for parts in ranked]
            ndcgs = [float(result["ndcg"].mean()) for result in results]
            top = int(np.argmax(ndcgs))
            ndcg, recall = ndcgs[top], float(results[top]["recall"].mean())
            line |= {"ndcg@20": round(ndcg, 6), "recall@20": round(recall, 6), "beta": betas[top]}
            if ndcg > self.best.ndcg:
                self.best = _Best(self.step, betas[top], ndcg, recall)
                self.best_parameters = {name: value.detach().clone() for name, value in self.parameters.items()}
            else:
                self.best.misses += 1
        self.history.append(line)
        if self.context.log is not None:
            write_text(self.context.log, "".join(json.dumps(entry) + "\n" for entry in self.history))

    def _scale(self, items: FloatArray, beta: float) -> FloatArray:
        return item_scale(items, beta, cold=self.cold, cold_scale=float(self.log_cold_scale.detach().exp()))

    def _note(self, loss: float) -> str:
        if self.validation is None:
            return f"loss {loss:.4f}"
        return f"loss {loss:.4f}, NDCG@20 {self.history[-1]['ndcg@20']:.4f} (best {self.best.ndcg:.4f})"

    # ------------------------------------------------------------------------------------------------ guard

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(self._diverged(f"the loss is {loss}"))

    def _check_parameters(self) -> None:
        for name, value in self.parameters.items():
            if not bool(torch.isfinite(value).all()):
                raise TrainingError(self._diverged(f"{name} holds values that are no numbers"))

    def _diverged(self, what: str) -> str:
        advice = f"lower training.learning_rate (now {self.training.learning_rate:g})"
        if self.training.loss == "softmax":
            advice += f" or raise training.temperature (now {float(self.log_temperature.detach().exp()):g})"
        kept = ""
        if self.context.checkpoints is not None and (self.context.checkpoints / CHECKPOINT).exists():
            kept = f"; the last good checkpoint is {self.context.checkpoints / CHECKPOINT}"
        return f"training diverged at step {self.step}: {what}; {advice}{kept}"

    # ------------------------------------------------------------------------------------------------ checkpoints

    def _fingerprint(self, features: TextVectors | None) -> str:
        """What a checkpoint must have been trained on and with to be gone on from."""
        digest = hashlib.sha256()
        context = [self.context.seed, self.context.precision, self.max_steps, self.beta]
        digest.update(json.dumps([asdict(self.config), asdict(self.training), context], sort_keys=True).encode())
        for name in self.graph.nodes:
            digest.update(self.graph.vocabulary(name).fingerprint.encode())
        for key, index in zip(self.encoder.propagation.relations, self.encoder.propagation.edge_indices(), strict=True):
            digest.update(str(key).encode() + index.cpu().numpy().tobytes())
        if features is not None:
            digest.update(np.ascontiguousarray(features.nodes).tobytes())
            digest.update(np.ascontiguousarray(features.vectors).tobytes())
        if self.validation is not None:
            for lists in (self.validation.truth, self.validation.seen):
                digest.update(lists.offsets.tobytes() + lists.items.tobytes())
        return digest.hexdigest()

    def _save(self) -> None:
        if self.context.checkpoints is None:
            return
        tensors = {f"parameter.{name}": value.detach() for name, value in self.parameters.items()}
        tensors |= {f"best.{name}": value for name, value in self.best_parameters.items()}
        for name, parameter in self.parameters.items():
            for moment, value in self.optimizer.state[parameter].items():
                tensors[f"adam.{moment}.{name}"] = value
        state = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "seconds": self.seconds,
            "best": asdict(self.best),
            "history": self.history,
        }
        # State and tensors in one file: two could be of different steps after a kill between them.
        with atomic_path(self.context.checkpoints / CHECKPOINT) as temporary:
            save_file(
                {name: value.contiguous().cpu() for name, value in tensors.items()},
                temporary,
                metadata={"state": json.dumps(state)},
            )

    def _resume(self) -> None:
        """Go on from a checkpoint of this very training; one of another training, or a damaged one, is overwritten."""
        if self.context.checkpoints is None or not (self.context.checkpoints / CHECKPOINT).exists():
            return
        try:
            with safe_open(self.context.checkpoints / CHECKPOINT, framework="pt") as stored:
                state = json.loads(stored.metadata()["state"])
                if state["fingerprint"] != self.fingerprint:
                    return
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
        except Exception:  # safetensors raises its own untyped errors; starting afresh is always right
            return
        self._load(self.parameters, _named(tensors, "parameter."))
        self.best_parameters = {n: v.to(self.device) for n, v in _named(tensors, "best.").items()}
        for name, parameter in self.parameters.items():
            for moment in ("step", "exp_avg", "exp_avg_sq"):
                value = tensors[f"adam.{moment}.{name}"]
                self.optimizer.state[parameter][moment] = value.to(self.device)
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self.best = _Best(**state["best"])

    @torch.no_grad()
    def _load(self, parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            parameters[name].copy_(value)

    # ------------------------------------------------------------------------------------------------ the result

    @torch.no_grad()
    def _result(self) -> Embeddings:
        final = to_numpy(self.encoder().final)
        beta = self.beta if self.validation is None else self.best.beta
        facts: dict[str, Any] = {
            "model": type(self.encoder).__name__,
            "model_config": asdict(self.config),
            "training_config": asdict(self.training),
            "steps": self.step if self.validation is None else self.best.step,
            "seed": self.context.seed,
            "beta": beta,
            "device": str(self.device),
            "precision": self.context.precision,
            "temperature": float(self.log_temperature.exp()),
            "seconds": round(self.seconds, 3),
            "history": self.history,
        }
        if self.validation is not None:
            facts["validation"] = {"ndcg@20": self.best.ndcg, "recall@20": self.best.recall}
        return Embeddings(
            numbering=self.numbering,
            fingerprints={name: self.graph.vocabulary(name).fingerprint for name in self.graph.nodes},
            user_type=self.graph.schema.user_type,
            item_type=self.graph.schema.item_type,
            final=final,
            item_scale=self._scale(final[self.items], beta),
            beta=beta,
            cold=self.cold,
            cold_scale=float(self.log_cold_scale.exp()),
            linear=self.encoder.linear_parts(),
            facts=facts,
        )


def _rows(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table; unlike plain indexing its gradient adds up in a fixed order on CUDA too."""
    return functional.embedding(index, table)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
