"""Helpers of the tests of tuning."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from recall.config.deployment import load_config
from recall.jobs.inputs import Inputs
from recall.jobs.prepare import Prepared, prepare
from recall.jobs.runner import Stages
from recall.tuning.study import TrialFacts


class Listener:
    """Hears what trials say of themselves; may do something about it."""

    def __init__(self, act: Callable[[str], None] = lambda note: None) -> None:
        self.notes: list[str] = []
        self.act = act

    @contextmanager
    def task(self, description: str, *, total: int | None = None) -> Iterator[Listener]:
        yield self

    def advance(self, steps: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.act(text)


def copy(config: Path, folder: Path, *, text: str = "", old: str = "", new: str = "", studies: bool = False) -> Path:
    """The same deployment elsewhere, perhaps with another config; its studies only when wished."""
    left_out = None if studies else shutil.ignore_patterns(".tune", "*.tuned.toml")
    shutil.copytree(config.parent, folder, symlinks=True, ignore=left_out)
    assert old in config.read_text()
    (folder / config.name).write_text(config.read_text().replace(old, new) + text)
    return folder / config.name


def timeless(trials: tuple[TrialFacts, ...]) -> list[TrialFacts]:
    return [dataclasses.replace(trial, seconds=0.0) for trial in trials]


def prepared_of(config: Path, folder: Path) -> Prepared:
    settings = load_config(config)
    cache = settings.runs_folder / ".cache"
    return prepare(settings, Inputs.of(settings, folder), Stages(folder / "stages"), cache, Listener())


def ndcg_by_hand(ranked: list[int], truth: set[int], k: int) -> float:
    gain = sum(1 / np.log2(place + 2) for place, item in enumerate(ranked[:k]) if item in truth)
    return float(gain / sum(1 / np.log2(place + 2) for place in range(min(k, len(truth)))))
