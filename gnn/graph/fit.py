"""Train a model on a graph, in one process or in several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnn.distributed import Ranks
from gnn.evaluation.validation import Validation
from gnn.graph.embeddings import Embeddings
from gnn.graph.job import TrainingJob
from gnn.graph.layer0 import TextVectors
from gnn.graph.tasks import GraphTask, make_task
from gnn.graph.warm_start import Parameters
from gnn.settings import ModelConfig, TrainingConfig
from gnn.training.context import RunContext
from gnn.training.schedule import Schedule
from gnn.training.trainer import Trainer
from kg import KnowledgeGraph
from kg.errors import ConfigError


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
    """Train a LightGCN or a GCN on a graph.

    With `validation` training stops early on NDCG@20 over all items, seen ones left out, and the best step under the
    best beta or prior is returned. With `steps` exactly that many are taken: the recipe of an earlier training
    (`facts["steps"]`, `beta`, `prior` and `cold_scale`), on more data. With neither, `training.max_steps`.

    Args:
        graph: the training view: everything in it may be learned from.
        model: which model, and its hyper-parameters.
        training: the loss and the schedule.
        features: text vectors of nodes.
        validation: what to stop on.
        steps: steps to take; not together with `validation`.
        beta: popularity exponent of the result when nothing validates it; None: the first of `training.betas`, or 0.
        prior: weight of the popularity in the result when nothing validates it; None: 0.
        cold_scale: factor of placed items (gnn.graph.cold_start) when nothing validates it; None: 1.
        start: parameters of an earlier training to go on from, with a fresh optimiser; None: a random start.
        context: device, seed, progress, checkpoints, log, ranks.

    Returns:
        The vectors; `facts` holds configurations, steps, seed, beta, validation metrics and seconds.

    Raises:
        InvalidDataError: the graph has no positive interactions to learn from.
        TrainingError: the loss or a weight is no longer a finite number, or another rank was lost; the last good
            checkpoint is kept.
        ConfigError: contradicting arguments, an unknown relation, a device that is not there, or a model that several
            ranks cannot share.
    """
    context = context or RunContext()
    if not context.ranks.first:
        raise ConfigError("only the first rank calls fit; the others call run_worker, which receives the arguments")
    if steps is not None and validation is not None:
        raise ConfigError("fit takes `validation` (to find the steps) or `steps` (found before), not both")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps = {steps} must be at least 1")
    job = TrainingJob(
        graph=graph,
        model=model,
        training=training,
        features=features,
        validation=validation,
        steps=steps,
        beta=beta,
        prior=prior,
        cold_scale=cold_scale,
        device=context.device,
        seed=context.seed,
        precision=context.precision,
    )
    task = make_task(job, context)
    if context.ranks.count > 1:
        job.send(context.ranks)
    embeddings = _train(task, start)
    assert embeddings is not None  # noqa: S101 (this is the first rank)
    return embeddings


def take_part(ranks: Ranks, header: Mapping[str, Any]) -> None:
    """Take part in a training of the first rank; see `gnn.workers.run_worker`."""
    job = TrainingJob.receive(ranks, header)
    context = RunContext(device=job.device, seed=job.seed, precision=job.precision, ranks=ranks)
    _train(make_task(job, context), None)


def schedule_of(job: TrainingJob) -> Schedule:
    """The part of a job's settings that the trainer reads."""
    training = job.training
    return Schedule(
        max_steps=job.steps or training.max_steps,
        eval_every=training.eval_every,
        patience=training.patience,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
    )


def _train(task: GraphTask[Any], start: Parameters | None) -> Embeddings | None:
    task.start_from(start)
    return Trainer(task, schedule_of(task.job), task.context).run()
