"""Train a sequence model on what users did, in order."""

from __future__ import annotations

from gnn.evaluation.validation import Validation
from gnn.sequence.model import SequenceModel
from gnn.sequence.settings import SequenceConfig, SequenceTraining
from gnn.sequence.task import SequenceJob, SequenceTask
from gnn.sequence.warm_start import SequenceWeights
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from gnn.training.schedule import Schedule
from gnn.training.trainer import Trainer
from kg import KnowledgeGraph
from kg.errors import ConfigError
from kg.history import InteractionHistory


def fit(
    graph: KnowledgeGraph,
    history: InteractionHistory,
    model: SequenceConfig,
    training: SequenceTraining,
    *,
    features: TextFeatures | None = None,
    validation: Validation | None = None,
    steps: int | None = None,
    start: SequenceWeights | None = None,
    context: RunContext | None = None,
) -> SequenceModel:
    """Train a sequence model on the positive interactions of all users.

    With `validation` training stops early on NDCG@20 over all items, seen ones left out, and the best step is returned.
    With `steps` exactly that many are taken: those of an earlier training (`facts["steps"]`), on more data. With
    neither, `training.max_steps`.

    Args:
        graph: the training view: everything in it may be learned from.
        history: what its users did.
        model: which model, and its hyper-parameters.
        training: the loss and the schedule.
        features: text vectors of nodes.
        validation: what to stop on.
        steps: steps to take; not together with `validation`.
        start: weights of an earlier training to go on from, with a fresh optimiser; None: a random start.
        context: device, seed, progress, checkpoints, log.

    Raises:
        InvalidDataError: no user likes two items, or the validation part has nothing to find.
        TrainingError: the loss or a weight is no longer a finite number; the last good checkpoint is kept.
        ConfigError: contradicting arguments, an unknown relation, a part of items that is not there, a device that is
            not there, or several ranks.
    """
    context = context or RunContext()
    if steps is not None and validation is not None:
        raise ConfigError("fit takes `validation` (to find the steps) or `steps` (found before), not both")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps = {steps} must be at least 1")
    job = SequenceJob(
        graph=graph, history=history, model=model, training=training, features=features, validation=validation
    )
    task = SequenceTask(job, context)
    task.start_from(start)
    schedule = Schedule(
        max_steps=steps or training.max_steps,
        eval_every=training.eval_every,
        patience=training.patience,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        last_rate=training.last_rate,
    )
    result = Trainer(task, schedule, context).run()
    assert result is not None  # noqa: S101 (there is one rank)
    return result
