"""Train a sequence model on what users did, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnn.distributed import Ranks
from gnn.evaluation.validation import Validation
from gnn.sequence.data import SequenceData
from gnn.sequence.model import SequenceModel
from gnn.sequence.models import backbone_of, config_type
from gnn.sequence.settings import SequenceConfig, SequenceTraining
from gnn.sequence.task import SequenceTask
from gnn.sequence.warm_start import SequenceWeights
from gnn.text.features import TextFeatures
from gnn.training.context import RunContext
from gnn.training.schedule import Schedule
from gnn.training.trainer import Trainer
from gnn.training.validation import users_asked
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
        context: device, seed, progress, checkpoints, log, ranks.

    Raises:
        InvalidDataError: no user likes two items, or the validation part has nothing to find.
        TrainingError: the loss or a weight is no longer a finite number, or another rank was lost; the last good
            checkpoint is kept.
        ConfigError: contradicting arguments, an unknown relation, a part of items, times or a device that is not there.
    """
    context = context or RunContext()
    if not context.ranks.first:
        raise ConfigError("only the first rank calls fit; the others call run_worker, which receives the arguments")
    if steps is not None and validation is not None:
        raise ConfigError("fit takes `validation` (to find the steps) or `steps` (found before), not both")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps = {steps} must be at least 1")
    data = SequenceData.of(graph, history, model, training, features=features, validation=validation, seed=context.seed)
    task = SequenceTask(data, model, training, context, graph=graph)
    if context.ranks.count > 1:
        header = {
            "training_of": "sequences",
            "model": backbone_of(model).name,
            "model_settings": model.model_dump(
                mode="json", include=set(config_type(backbone_of(model).name).model_fields)
            ),
            "settings": training.model_dump(mode="json"),
            "steps": steps,
            "context": {"device": context.device, "seed": context.seed, "precision": context.precision},
        }
        data.send(context.ranks, header)
    task.start_from(start)
    result = Trainer(task, schedule_of(training, steps), context).run()
    assert result is not None  # noqa: S101 (this is the first rank)
    if validation is None:
        return result
    asked = users_asked(validation, len(data.asked or ()))
    return replace(result, facts={**result.facts, "validated": asked})


def take_part(ranks: Ranks, header: Mapping[str, Any]) -> None:
    """Take part in a training of the first rank; see `gnn.workers.run_worker`."""
    data = SequenceData.receive(ranks, header)
    context = RunContext(**header["context"], ranks=ranks)
    training = SequenceTraining(**header["settings"])
    task = SequenceTask(data, config_type(header["model"])(**header["model_settings"]), training, context)
    task.start_from(None)
    Trainer(task, schedule_of(training, header["steps"]), context).run()


def schedule_of(training: SequenceTraining, steps: int | None) -> Schedule:
    """The part of the settings that the trainer reads."""
    return Schedule(
        max_steps=steps or training.max_steps,
        eval_every=training.eval_every,
        patience=training.patience,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        last_rate=training.last_rate,
    )
