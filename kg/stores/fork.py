"""What stores keep in memory, in a process that was forked off while they were in use."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that a forked process has to make anew."""

    def after_fork(self) -> None:
        """Replace the locks, which another thread may have held, and let go of what belongs to the parent."""


_ALL: weakref.WeakSet[Forkable] = weakref.WeakSet()


def renew_after_fork(object: Forkable) -> None:
    """Call `after_fork` of an object in every process that is forked off while it lives."""
    _ALL.add(object)


def _renew() -> None:
    for each in list(_ALL):
        each.after_fork()


os.register_at_fork(after_in_child=_renew)
