"""What the tests of this room share: the library of the statistics, and checks of what is given."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import Values
from kg.errors import ConfigError, InvalidDataError


def statsmodels(module: str) -> Any:
    """A module of statsmodels.

    Args:
        module: such as "stats.proportion".

    Raises:
        ConfigError: the extra `online` is not installed.
    """
    try:
        return import_module(f"statsmodels.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "statsmodels is not installed: install graphrecall with the extra `online`, or statsmodels itself"
        ) from error


def check_share(value: float, name: str) -> float:
    """A number between 0 and 1, both excluded.

    Raises:
        ConfigError: it is none.
    """
    if not 0 < value < 1:
        raise ConfigError(f"{name} = {value} must lie between 0 and 1")
    return float(value)


def check_values(values: npt.ArrayLike, name: str, *, least: int = 2) -> Values:
    """Finite numbers, one a user, float64 (n,).

    Raises:
        InvalidDataError: they are no list of numbers, too few, or not finite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(f"{name} must be numbers: {error}") from error
    if array.ndim != 1:
        raise InvalidDataError(f"{name} must be a list of numbers, not an array of shape {array.shape}")
    if len(array) < least:
        raise InvalidDataError(f"{name} has {len(array)} values, and a test needs at least {least}")
    if bad := int((~np.isfinite(array)).sum()):
        raise InvalidDataError(f"{bad} values of {name} are missing or not finite: leave those users out, or give 0")
    return array
