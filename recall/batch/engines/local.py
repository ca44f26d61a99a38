"""Processes of this machine that answer the parts of a batch."""

from __future__ import annotations

import json
import select
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from kg.errors import BatchError
from kg.processes.child import Child
from kg.processes.limits import cores
from recall.batch.plan import BatchJob, Part
from recall.batch.work import PartResult

TRIES = 3
_LARGEST = 1 << 20  # bytes of a result


def answer_locally(job: BatchJob, parts: Sequence[Part], *, workers: int | None = None) -> Iterator[PartResult]:
    """Answer parts in processes, each with the next part that nobody has.

    A process that dies is replaced, and its part is answered again.

    Args:
        job: what to do.
        parts: which of them.
        workers: processes; None: one for each core that this process may use.

    Yields:
        The result of each part, as they come.

    Raises:
        BatchError: a part has ended its process three times.
    """
    wanted = min(workers or cores(), len(parts))
    threads = str(max(1, cores() // max(1, wanted)))
    waiting, ended = deque(parts), Counter[int]()
    working: dict[Child, Part] = {}

    def begin(child: Child | None = None) -> None:
        """Give a process, or a new one, the next part."""
        part = waiting.popleft()
        if child is None:
            child = Child("recall.batch.engines.worker", threads)
            _send(child, job.model_dump_json())
        working[child] = part
        _send(child, str(part.number))

    try:
        while waiting and len(working) < wanted:
            begin()
        while working:
            ready, _, _ = select.select([child.socket for child in working], [], [])
            for child in [child for child in working if child.socket in ready]:
                part = working[child]
                try:
                    result = PartResult(**json.loads(child.receive(largest=_LARGEST)))
                except EOFError:
                    del working[child]
                    ended[part.number] += 1
                    _check_tries(part, ended[part.number], child.last_words())
                    child.end()
                    waiting.appendleft(part)
                    begin()
                    continue
                if waiting:
                    begin(child)
                else:
                    del working[child]
                    child.end()
                yield result
    finally:
        for child in working:
            child.end()


def _send(child: Child, message: str) -> None:
    with suppress(OSError):  # it is dead, which the next look at it shows
        child.send(message.encode())


def _check_tries(part: Part, tries: int, how: str) -> None:
    if tries >= TRIES:
        raise BatchError(
            f"the process that answered part {part.number} ({part.count:,} queries from {part.file.name}, row "
            f"{part.start:,}) died {tries} times: {how}. Where the memory was full, fewer --workers or a smaller -k "
            "help. What is finished stays: the same command goes on from there"
        )
