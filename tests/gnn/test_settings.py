"""Hyper-parameters out of range are refused, with the key."""

from __future__ import annotations

from typing import Any

import pytest

from gnn.settings import TrainingConfig
from kg.errors import ConfigError


def test_whole_users_whose_edges_are_all_dropped_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"whole_users and drop_batch_edges"):
        TrainingConfig(whole_users=True, drop_batch_edges=True)


def test_training_needs_a_way_to_rank() -> None:
    with pytest.raises(ConfigError, match=r"betas and priors are both empty"):
        TrainingConfig(betas=(), priors=())


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "hinge"},
        {"temperature": 0.0},
        {"learning_rate": float("nan")},
        {"batch_size": 0},
        {"cold_fraction": 1.0},
        {"negatives": -1},
        {"betas": (float("nan"),)},
        {"priors": (0.0,)},
    ],
)
def test_training_values_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"training.{next(iter(wrong))}[.0-9]* = "):
        TrainingConfig(**wrong)
