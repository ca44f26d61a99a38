"""The work of one process: parts of a batch, each answered and written. Every engine runs this and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

import kg.errors
from kg.errors import BatchError, GraphRecallError, UnknownIdError
from recall.batch.output import write_part
from recall.batch.plan import BatchJob, Part
from recall.batch.queries import read_rows
from recall.serve.requests import SKIP


@dataclass(frozen=True, slots=True, kw_only=True)
class PartResult:
    """What became of a part.

    Attributes:
        part: its number.
        queries: that were answered.
        candidates: that were written.
        kind: class of the error that ended it, "" where it is written.
        problem: message of the error.
    """

    part: int
    queries: int = 0
    candidates: int = 0
    kind: str = ""
    problem: str = ""

    def check(self) -> None:
        """Raise the error that ended the part.

        Raises:
            GraphRecallError: as it was raised where the part was answered.
        """
        if not self.kind:
            return
        kind = getattr(kg.errors, self.kind, None)
        if kind is UnknownIdError:
            raise UnknownIdError(self.problem, advice=SKIP)
        if isinstance(kind, type) and issubclass(kind, GraphRecallError):
            raise kind(self.problem)
        raise BatchError(f"part {self.part}: {self.problem}")


RESULTS = pa.schema(
    [
        ("part", pa.int64()),
        ("queries", pa.int64()),
        ("candidates", pa.int64()),
        ("kind", pa.string()),
        ("problem", pa.string()),
    ]
)
"""Results of parts as a table."""


def results_table(results: Iterable[PartResult]) -> Any:
    """Results as an Arrow table."""
    return pa.Table.from_pylist([asdict(result) for result in results], schema=RESULTS)


def results_of(table: Any) -> Iterator[PartResult]:
    """The results that a table or record batch holds."""
    for row in table.to_pylist():
        yield PartResult(**{field.name: row[field.name] for field in fields(PartResult)})


def answer_part(job: BatchJob, part: Part) -> PartResult:
    """Answer a part and write its candidates. What the caller can mend is a result, and not raised."""
    try:
        function = job.function
        path = job.queries / part.file.name
        batches = read_rows(path, part.start, part.count, rows=part.file.rows)
        first = next(batches)
        schema = function.schema(first.schema)
        answers = function(_chained(first, batches), first=part.first, where=part.file.name)
        candidates = write_part(job.plan, part, job.out, schema, answers)
    except UnknownIdError as error:
        return PartResult(part=part.number, kind=type(error).__name__, problem=str(error.args[0]))
    except (GraphRecallError, OSError) as error:
        return PartResult(part=part.number, kind=type(error).__name__, problem=str(error))
    return PartResult(part=part.number, queries=part.count, candidates=candidates)


def _chained(first: Any, batches: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from batches


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsFunction:
    """What an engine of several machines runs: places of parts in, results out.

    Attributes:
        job: what to do.
        numbers: of the parts that are missing.
    """

    job: BatchJob
    numbers: tuple[int, ...]

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Answer parts.

        Args:
            batches: record batches with the column `id`, places in `numbers`.

        Yields:
            A record batch of `RESULTS` for each part.
        """
        parts = self.job.plan.parts()
        for batch in batches:
            for place in batch.column("id").to_pylist():
                yield from results_table([answer_part(self.job, parts[self.numbers[place]])]).to_batches()
