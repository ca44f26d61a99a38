"""Record batches of queries into record batches of candidates: what every engine runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from kg.errors import ArtifactError, ConfigError, InvalidDataError, UnknownIdError
from kg.io.files import read_manifest
from recall.batch.columns import check_columns, plain_rows
from recall.contracts import CANDIDATE_SCHEMA, RULE_COLUMNS
from recall.runs.layout import RunLayout
from recall.serve.query_answers import QUERY, recommend_table
from recall.serve.questions import RecommendOptions, RecommendRequest, Turned
from recall.serve.recommender import Recommender

BLOCK = 1024
"""Queries that are answered together: enough for the searches, few enough for their candidates to fit in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateFunction:
    """Turns record batches of queries into record batches of candidates, in any process that sees the run's folder.

    Attributes:
        run: folder of a published run, never a link: what it says is the same in all processes.
        digest: of the run's manifest; a process that sees another run there refuses to answer.
        options: what counts for all queries.
        keep: columns of the queries that go along to their candidates.
    """

    run: Path
    digest: str
    options: RecommendOptions
    keep: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, run: RunLayout, options: RecommendOptions | None = None, *, keep: Sequence[str] = (), verify: bool = True
    ) -> CandidateFunction:
        """The function of a run.

        Args:
            run: published; `RunLayout.open` finds it by a link.
            options: what counts for all queries; default: those of the class.
            keep: columns that go along.
            verify: compare every checksum of the run first.

        Raises:
            ArtifactError: the run is damaged.
        """
        manifest = run.verify() if verify else read_manifest(run.path)
        return cls(
            run=run.path, digest=str(manifest["digest"]), options=options or RecommendOptions(), keep=tuple(keep)
        )

    def __call__(self, batches: Iterable[Any], *, first: int = 0, where: str = "the queries") -> Iterator[Any]:
        """Candidates, by query and rank.

        Args:
            batches: record batches with a row for each query; see docs/batch.md for the columns.
            first: number of the first query.
            where: what to call the queries in an error.

        Yields:
            Record batches with the columns of `schema`.

        Raises:
            InvalidDataError: a query is none; the message has its number.
            UnknownIdError: an id is not in the graph, and `on_unknown` is "raise".
            ConfigError: options are not understood.
            ArtifactError: the folder holds another run, or it is damaged.
        """
        recommender = self.recommender()
        for batch in batches:
            check_columns(batch.schema, self.keep, where)
            for start in range(0, batch.num_rows, BLOCK):
                block = batch.slice(start, BLOCK)
                yield from self._answer(recommender, block, first, where)
                first += block.num_rows

    def recommender(self) -> Recommender:
        """The Recommender of the run, loaded once a process.

        Raises:
            ArtifactError: the folder holds another run, or it is damaged.
        """
        loaded = _loaded(self.run, self.digest, tuple(sorted((self.options.weights or {}).items())))
        return loaded.with_rules(diversity=self.options.diversity, long_tail=self.options.long_tail)

    def schema(self, queries: Any) -> Any:
        """The Arrow schema of the candidates.

        Args:
            queries: schema of the queries, for the types of the columns that are kept.

        Raises:
            InvalidDataError: columns have the same name.
        """
        recommender = self.recommender()
        fields = [pa.field(QUERY, pa.int64()), *CANDIDATE_SCHEMA]
        if self.options.titles:
            fields.append(pa.field("title", pa.string()))
        if recommender.control is not None:
            fields += [pa.field(name, kind) for name, kind in RULE_COLUMNS]
        if self.options.channel_scores:
            fields += [pa.field(name, pa.float32()) for name in recommender.pipeline.asked]
        for name in self.keep:
            if name in {field.name for field in fields}:
                raise InvalidDataError(f"the candidates have a column {name!r} of their own: rename the one to keep")
            fields.append(pa.field(name, queries.field(name).type))
        return pa.schema(fields)

    def _answer(self, recommender: Recommender, block: Any, first: int, where: str) -> Iterator[Any]:
        numbers = f"{where}, queries {first:,} to {first + block.num_rows - 1:,}"
        # Weights and rules are those of the Recommender already.
        options = self.options.model_dump(exclude=set(Turned.model_fields))
        try:
            request = RecommendRequest.model_validate({**options, "queries": plain_rows(block)})
            table = recommend_table(recommender, request)
        except ValidationError as error:
            raise InvalidDataError(_problem(error, first, where)) from None
        except pa.ArrowException as error:
            raise InvalidDataError(f"{numbers} cannot be read: {error}") from error
        except UnknownIdError as error:
            raise UnknownIdError(f"{numbers}: {error.args[0]}", advice=error.advice) from error
        except ConfigError as error:
            raise ConfigError(f"{numbers}: {error}") from error
        for name in self.keep:
            table = table.append_column(name, block.column(name).take(table[QUERY]))
        table = table.set_column(0, QUERY, pc.add(table[QUERY], first))
        yield from table.cast(self.schema(block.schema)).combine_chunks().to_batches()


@lru_cache(maxsize=1)
def _loaded(run: Path, digest: str, weights: tuple[tuple[str, float], ...]) -> Recommender:
    if read_manifest(run)["digest"] != digest:
        raise ArtifactError(
            f"{run} is another run here than where the batch was started: all machines must see the same runs folder"
        )
    recommender = Recommender.load(run, verify=False)
    return recommender.with_weights(dict(weights)) if weights else recommender


def _problem(error: ValidationError, first: int, where: str) -> str:
    """The first problem of some queries, with the number of its query."""
    entry, *others = error.errors(include_url=False)
    message = str(entry["msg"]).removeprefix("Value error, ")
    match entry["loc"]:
        case ("queries", int(row), *place):
            number = f"{where}, query {first + row:,}"
        case place:
            number = "the options of the batch"
    key = ".".join(map(str, place))
    more = f" (and {len(others)} more problems)" if others else ""
    return f"{number}: {f'{key}: ' if key else ''}{message}{more}"
