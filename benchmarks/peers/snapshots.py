"""The clock of a peer's training, and the vectors it leaves behind at intervals; imports nothing of graphrecall."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

Vectors = Callable[[], tuple[torch.Tensor, torch.Tensor]]


class BudgetSpent(Exception):  # noqa: N818 - an end, not an error
    """The seconds of training are over."""


class Snapshots:
    """Counts seconds of training alone, and writes the vectors of users and items when it is time to.

    A file holds `users` and `items`, float32 by the positions of the training pairs, `seconds` and `step`.
    """

    def __init__(self, folder: Path, seconds: float, count: int, vectors: Vectors) -> None:
        """Prepare it.

        Args:
            folder: of the files, which exists.
            seconds: of training in all.
            count: of the files, evenly over the seconds.
            vectors: gives the final vectors of users and items, scored by their dot product.
        """
        self._folder, self._seconds, self._every, self._vectors = folder, seconds, seconds / count, vectors
        self._spent, self._due, self._started = 0.0, self._every, 0.0
        self._step = 0

    def start(self) -> None:
        """The training begins."""
        self._wait()
        self._started = time.perf_counter()

    def after_step(self) -> None:
        """A step is done; writing stops the clock.

        Raises:
            BudgetSpent: it was the last one.
        """
        self._step += 1
        spent = self._spent + time.perf_counter() - self._started
        if spent < self._due:
            return
        self._wait()
        self._spent += time.perf_counter() - self._started
        users, items = self._vectors()
        temporary = self._folder / f"{self._step:07d}.part"
        with temporary.open("wb") as file:
            np.savez(file, users=users.cpu().numpy(), items=items.cpu().numpy(), seconds=self._spent, step=self._step)
        temporary.rename(temporary.with_suffix(".npz"))
        if self._spent >= self._seconds:
            raise BudgetSpent
        self._due += self._every * max(1, int((self._spent - self._due) / self._every) + 1)
        self._due = min(self._due, self._seconds)
        self._started = time.perf_counter()

    @staticmethod
    def _wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def arguments() -> argparse.Namespace:
    """The command line that the benchmark gives a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=Path, required=True, help="npy, int64 (pairs, 2): users and items by position")
    parser.add_argument("--out", type=Path, required=True, help="folder of the snapshots")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--snapshots", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    return parsed
