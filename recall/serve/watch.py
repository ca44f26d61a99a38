"""Lets a running process serve the newest run, without a pause and without an answer from two runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from kg.errors import ConfigError
from kg.stores.base import Store
from kg.stores.fork import renew_after_fork
from recall.ops.logs import FIELDS
from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender

_log = logging.getLogger(__name__)

LONGEST_DELAY = 600.0  # seconds between two tries to load the same run


class RunFollower:
    """Loads the run that serves, beside the one in use, whenever it is told to look.

    A run that cannot be loaded is told in the log, once, and tried again at growing distances, for it may be the memory
    that lacks; until then the one before serves on. While a new run is loaded, both are in memory.

    Attributes:
        recommender: the newest whole one.
    """

    def __init__(
        self,
        run: Path | str,
        *,
        every: float,
        verify: bool = True,
        store: Store | None = None,
        prepare: Callable[[Recommender], object] | None = None,
    ) -> None:
        """Load the run that serves now.

        Args:
            run: the link to the run that serves, such as "runs/current".
            every: seconds between two looks.
            verify: compare every checksum of a run that is loaded.
            store: what answers `cypher`; see `Recommender.load`.
            prepare: done with each run that was loaded before it serves, such as `Recommender.warm_up`. A run with
                which it fails does not serve.

        Raises:
            ArtifactError: there is no run, or it cannot be loaded.
            ConfigError: `every` is not positive.
        """
        if not every > 0:
            raise ConfigError(f"every = {every} must be a positive number of seconds")
        self._way = Path(run).absolute()
        self._every = every
        self._prepare = prepare
        self.recommender = self._prepared(Recommender.load(self._way, verify=verify, store=store))
        self._bad: Path | None = None
        self._delay = every
        self._not_before = 0.0

    def look(self) -> None:
        """Load the run that serves now, if it is another one."""
        there = self._way
        try:
            there = RunLayout.open(self._way).path
            if there == self._bad and time.monotonic() < self._not_before:
                return
            newest = self.recommender.reload()
            if newest is not self.recommender:
                self._prepared(newest)
        except Exception as error:  # whatever it is, the run before must serve on
            self._put_off(there, error)
            return
        if newest is not self.recommender:
            _log.info("%s serves from now on", there)
        self.recommender, self._bad = newest, None

    def _prepared(self, recommender: Recommender) -> Recommender:
        if self._prepare is not None:
            self._prepare(recommender)
        return recommender

    def _put_off(self, run: Path, error: Exception) -> None:
        """Tell once that a run cannot be loaded, and look at it again after twice the time of the last try."""
        if run == self._bad:
            self._delay = min(2 * self._delay, LONGEST_DELAY)
        else:
            self._bad, self._delay = run, self._every
            facts = {"event": "put off", "run": run.name}
            _log.warning("%s cannot be loaded, the run before serves on: %s", run, error, extra={FIELDS: facts})
        self._not_before = time.monotonic() + self._delay


class RunWatch:
    """Looks every so often which run serves, and loads it in a thread of its own; see `RunFollower`.

    Whoever asks `watch.recommender` for each request always gets a whole one: the newest that could be loaded. A
    process that is forked off watches for itself.

        with RunWatch("runs/current", every=5) as watch:
            watch.recommender.recommend(["u42"])
    """

    def __init__(self, run: Path | str, *, every: float = 5.0, verify: bool = True, store: Store | None = None) -> None:
        """Load the run that serves now and begin to watch; the arguments are those of `RunFollower`.

        Raises:
            ArtifactError: there is no run, or it cannot be loaded.
            ConfigError: `every` is not positive.
        """
        self._follower = RunFollower(run, every=every, verify=verify, store=store)
        self._every = every
        self._name = f"watch {run}"
        self._start()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Watch in a forked process, which has none of the threads of its parent; see `kg.stores.fork`."""
        if not self._stop.is_set():
            self._start()

    def _start(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=self._name, daemon=True)
        self._thread.start()

    @property
    def recommender(self) -> Recommender:
        """The newest whole one. Keep it for the length of a request, not for longer."""
        return self._follower.recommender

    def close(self) -> None:
        """Stop watching; what was loaded last stays usable."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self._follower.look()
