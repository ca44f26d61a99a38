"""The users that the validations of a training rank for."""

from __future__ import annotations

import numpy as np
import torch

from gnn.evaluation.validation import Validation
from gnn.sampling import Stream, uniform
from kg.arrays import IntArray
from kg.errors import InvalidDataError


def validation_users(validation: Validation, num_users: int, *, limit: int, seed: int) -> IntArray:
    """Positions of the users with anything to find, ascending, always the same of one seed, int64 (n,).

    Args:
        validation: what they are to find.
        num_users: users of the graph.
        limit: users, at most.
        seed: of the choice.

    Raises:
        InvalidDataError: the validation part is of other users, or has nothing to find.
    """
    for name in ("truth", "seen"):
        if len(getattr(validation, name)) != num_users:
            raise InvalidDataError(
                f"validation.{name} has {len(getattr(validation, name))} rows, the graph {num_users} "
                "users: it needs a list for every user, empty where there is nothing"
            )
    chosen: IntArray = np.flatnonzero(validation.truth.counts)
    if not len(chosen):
        raise InvalidDataError("no user has anything to find in the validation part: give it a larger share")
    if len(chosen) > limit:
        draw = uniform(torch.from_numpy(chosen), seed=seed, step=0, stream=Stream.VALIDATION)
        chosen = np.sort(chosen[torch.argsort(draw, stable=True)[:limit].numpy()])
    return chosen


def users_asked(validation: Validation, users: int) -> dict[str, int]:
    """How many users the validations rank for and, where these are a sample, of how many, as facts of a training."""
    everybody = int(np.count_nonzero(validation.truth.counts))
    return {"users": users} if users == everybody else {"users": users, "drawn_from": everybody}
