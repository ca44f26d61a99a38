"""Who is put on the list of forgotten users, and who is taken off it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kg.errors import ArtifactError, ConfigError, UnknownIdError
from kg.io.graph_folder import load_graph
from recall.config.deployment import RefreshConfig
from recall.feedback import FeedbackLog
from recall.jobs.privacy import Privacy, names_in_run, privacy_of
from recall.runs.registry import RunsFolder

_log = logging.getLogger(__name__)

SHOWN = 5


def user_ids(users: Sequence[str]) -> list[str]:
    """Ids as sources are read: without the blanks around them, each once.

    Raises:
        ConfigError: one is empty.
    """
    ids = [user.strip() for user in users]
    if empty := [user for user in ids if not user]:
        raise ConfigError(f"{len(empty)} of {len(ids)} user ids are empty")
    return list(dict.fromkeys(ids))


def check_named(runs: RunsFolder, privacy: Privacy, users: Sequence[str]) -> None:
    """Refuse users whom neither a run nor the feedback log names, and who are not on the list.

    A forgetting makes every run again.

    A run that cannot be read counts as one that names nobody.

    Args:
        runs: of the deployment.
        privacy: its list.
        users: ids, as the sources name them.

    Raises:
        UnknownIdError: the message names them.
    """
    unnamed = dict.fromkeys(users)
    if privacy.key is not None and unnamed:
        marks = dict(zip(unnamed, privacy.key.marks_of_ids(unnamed), strict=True))
        unnamed = {user: None for user in unnamed if marks[user] not in privacy.marks}
    said = FeedbackLog(runs.feedback_root).state().users if unnamed else {}
    unnamed = {user: None for user in unnamed if user not in said}
    for run in (*runs.runs(), *runs.rejected()):
        if not unnamed:
            return
        try:
            names = dict(zip(unnamed, names_in_run(run, list(unnamed)), strict=True))
            there = load_graph(run.graph, verify=False).users.index(names.values(), missing="negative") >= 0
        except ArtifactError as error:
            _log.warning("%s cannot be read, so nobody knows whom it names: %s", run.name, error)
            continue
        unnamed = {user: None for user, known in zip(names, there.tolist(), strict=True) if not known}
    if unnamed:
        shown = ", ".join(map(repr, list(unnamed)[:SHOWN]))
        more = f" and {len(unnamed) - SHOWN} more" if len(unnamed) > SHOWN else ""
        raise UnknownIdError(
            f"no run names {shown}{more}: nothing was done; look at how the sources write the ids of users",
            advice="force=True puts them on the list all the same, so that no refresh lets them in",
        )


def take_off_list(runs: RunsFolder, users: Sequence[str], *, config: RefreshConfig | None = None) -> int:
    """Let users in again whom `recall.jobs.forget.forget` put on the list, from the next refresh on.

    What was made of them is not there any more: they come back with what the sources say of them then.

    Args:
        runs: of the deployment.
        users: ids, as the sources name them.
        config: of the deployment; None: the run that serves says where the key is.

    Returns:
        How many are on the list still.

    Raises:
        RefreshInProgressError: somebody else is at work in the folder.
        ConfigError: the key of the list is missing or another one, or an id is empty.
        UnknownIdError: somebody is not on the list; nothing was changed.
    """
    ids = user_ids(users)
    current = runs.current()
    settings = config.privacy if config is not None else None if current is None else privacy_of(current)
    with runs.lock():
        privacy = Privacy.open(runs.path, settings)
        marks = {} if privacy.key is None else dict(zip(ids, privacy.key.marks_of_ids(ids), strict=True))
        if missing := [user for user in ids if marks.get(user) not in privacy.marks]:
            raise UnknownIdError(f"{', '.join(map(repr, missing[:SHOWN]))} is not on the list: nothing was changed")
        return len(privacy.remove(marks.values()).users)
