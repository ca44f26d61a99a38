"""Search better hyper-parameters on the validation part; the test part is never looked at.

Each channel is a search of its own. LightGCN trains on the training part with early stopping, so that the number of
steps is found with it and is no hyper-parameter; a trial whose validations fall behind the median of the others' at the
same step is given up. The other channels take seconds; a refresh finds the weights of their fusion by itself.

It is safe to kill at any moment. Trials that ended are kept in `.tune/<fingerprint>/study.db` of the runs folder; the
fingerprint is of the data, and each search has a name there that depends on what is searched. A trial that was killed
begins again with the same values, and goes on from the last checkpoint of its training.
"""

from __future__ import annotations

import os
from operator import attrgetter
from pathlib import Path

from torch.distributed import is_torchelastic_launched

from gnn.device import resolve_device
from kg.errors import ConfigError
from kg.io.removal import remove_trees
from kg.progress import SILENT, Progress
from recall.config.deployment import parse_config, read_config
from recall.config.file import write_config
from recall.jobs.inputs import NOT_FINGERPRINTED, Inputs
from recall.jobs.prepare import prepare
from recall.jobs.runner import Stages
from recall.runs.registry import RunsFolder
from recall.runs.studies import DATA, locked, remove_leftovers_of_studies, unfinished_work
from recall.tuning.result import Search, TuneResult
from recall.tuning.spaces import fingerprint, search_spaces
from recall.tuning.study import Study, open_storage
from recall.tuning.trials import Trials

NOT_DATA = (*NOT_FINGERPRINTED, "index", "pipeline", "channels", "fusion", "evaluation")
STUDY = "study.db"
WARM_UP = 4  # no trial is given up in the first 1/4 of the steps


def tune(
    file: Path | str,
    *,
    trials: int,
    out: Path | str | None = None,
    metric: str | None = None,
    k: int | None = None,
    progress: Progress = SILENT,
) -> TuneResult:
    """Search the hyper-parameters of a configuration, and write the best of them as a configuration.

    Args:
        file: TOML file of the deployment; its section `tune` says what is searched, see `recall.config.search_space`.
        trials: how many each search shall have when it returns; those of earlier calls for the same count.
        out: file to write; None: `NAME.tuned.toml` beside `NAME.toml`.
        metric: in the place of that of the section `tune`.
        k: in the place of that of the section `tune`.
        progress: listener to the preparation and to the trials.

    Raises:
        ConfigError: a value is not allowed, Optuna is not installed, `out` cannot be written, or torchrun started this.
        InvalidDataError: the sources cannot be used, or there is no validation part.
        TrainingError: no trial finished.
        TuneInProgressError: another process tunes for the same runs folder.
        ArtifactError: the study of earlier calls is damaged.
    """
    if trials < 1:
        raise ConfigError(f"trials = {trials} must be at least 1")
    _check_installed()
    if is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("tuning runs in one process: start it without torchrun")
    file = Path(file)
    data = read_config(file)
    overrides = {name: value for name, value in (("metric", metric), ("k", k)) if value is not None}
    if overrides:
        data = {**data, "tune": {**data.get("tune", {}), **overrides}}
    config = parse_config(data, base=file.resolve().parent, name=str(file))
    target = _target(file, None if out is None else Path(out))
    resolve_device(config.device)
    runs = RunsFolder(config.runs_folder)
    runs.check_no_links()
    with locked(runs.studies):
        inputs = Inputs.of(config, runs.studies, progress, left_out=NOT_DATA)
        folder = runs.studies / inputs.fingerprint[:16]
        remove_leftovers_of_studies(
            runs.studies, but=folder, keep=None if inputs.snapshot is None else inputs.snapshot.folder
        )
        folder.mkdir(exist_ok=True)
        prepared = prepare(config, inputs, Stages(folder / DATA), runs.cache, progress)
        with open_storage(folder / STUDY) as storage:
            runner = Trials(config, prepared, folder)
            searches = []
            for name, space in search_spaces(config, prepared).items():
                training = getattr(getattr(config.channels, name), "training", None)
                max_steps = None if training is None else training.max_steps
                study = Study(
                    storage,
                    f"{name} {fingerprint(config, name, space)[:16]}",
                    space,
                    {parameter: attrgetter(parameter)(config) for parameter in space},
                    seed=config.seed,
                    warm_up=(max_steps or 0) // WARM_UP,
                )
                runner.run(name, study, trials, progress)
                searches.append(Search.of(name, study.ended(), max_steps=max_steps))
        inputs.drop_snapshot()
        remove_trees(unfinished_work(folder), inside=runs.studies)
    metric_name = f"{config.tune.metric}@{config.tune.k}"
    heading = f"Written by `graphrecall tune {file.name}`. {metric_name} on the validation part:"
    for search in searches:
        heading += f"\n  {search.name}: {search.best.value:.4f}, the best of {len(search.trials)} trials"
        if search.configured.value is not None:
            heading += f"; {search.configured.value:.4f} as configured there"
    changes = {name: value for search in searches for name, value in search.best.settings.items()}
    write_config(data, changes, target, base=config.base, heading=heading)
    return TuneResult(
        metric=metric_name,
        users=len(runner.group),
        drawn_from=runner.group.drawn_from,
        searches=tuple(searches),
        study=folder,
        out=target,
    )


def _check_installed() -> None:
    try:
        import optuna  # noqa: F401
        import tomli_w  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"tuning needs the package {error.name}, which is not installed: pip install optuna tomli-w"
        ) from error


def _target(file: Path, out: Path | None) -> Path:
    """The file to write, checked before hours of work."""
    target = file.with_name(f"{file.stem}.tuned{file.suffix}") if out is None else out
    if target.resolve() == file.resolve():
        raise ConfigError(f"{target} is the configuration itself, whose comments would be lost: name another file")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder: name a file")
    existing = next(folder for folder in target.resolve().parents if folder.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise ConfigError(f"{target} cannot be written: {existing} is no folder to write in; name another file")
    return target
