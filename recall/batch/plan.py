"""What a batch is to do: the run, the queries and the options, and the parts that it is done in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kg.errors import ArtifactError
from kg.io.files import digest, read_json, write_json
from recall.batch.answering import CandidateFunction
from recall.batch.queries import QueryFile
from recall.serve.questions import RecommendOptions

PLAN = "_batch.json"  # readers of a folder of Parquet files pass over names that begin with "_"


class BatchPlan(BaseModel):
    """All that decides what candidates a batch gives, and how they are cut into files. It lies beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str = Field(description="Name of the run that answers.")
    run_digest: str = Field(description="Of its manifest.")
    queries: tuple[QueryFile, ...] = Field(description="The files of queries, in their order.")
    options: RecommendOptions = Field(description="What counts for all queries.")
    keep: tuple[str, ...] = Field(description="Columns of the queries that go along to the candidates.")
    part_queries: int = Field(ge=1, description="Queries of a part.")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the plan that lies in a folder of candidates.

        Raises:
            ArtifactError: there is none, or it is damaged.
        """
        try:
            return cls.model_validate_json(_text(folder))
        except ValidationError as error:
            raise ArtifactError(f"{folder / PLAN} is damaged: {error.errors(include_url=False)[0]['msg']}") from error

    def save(self, folder: Path) -> None:
        """Write it into a folder of candidates."""
        write_json(folder / PLAN, self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The same for batches whose finished parts are the same."""
        # A part that is finished under the rule "raise" met no unknown id, so it is as any other rule has it.
        return digest(self.model_dump(mode="json", exclude={"options": {"on_unknown"}}))

    @property
    def total(self) -> int:
        """Number of queries."""
        return sum(file.rows for file in self.queries)

    def parts(self) -> list[Part]:
        """The parts in their order; none has queries of two files."""
        return list(self._parts())

    def differences(self, other: BatchPlan) -> Iterator[str]:
        """A line for each thing that differs in another plan, for a message: "k is 10, and was 20"."""
        mine, theirs = _flat(self), _flat(other)
        for key in mine | theirs:
            if mine.get(key) != theirs.get(key):
                yield f"{key} is {_shown(mine.get(key))}, and was {_shown(theirs.get(key))}"

    def _parts(self) -> Iterator[Part]:
        number = first = 0
        for file in self.queries:
            for start in range(0, file.rows, self.part_queries):
                count = min(self.part_queries, file.rows - start)
                yield Part(number=number, file=file, start=start, count=count, first=first + start)
                number += 1
            first += file.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Queries that are answered by one process, and whose candidates are one file.

    Attributes:
        number: of the part, from 0.
        file: that has the queries.
        start: row of the first of them in the file.
        count: how many they are.
        first: number of the first of them in the batch.
    """

    number: int
    file: QueryFile
    start: int
    count: int
    first: int

    @property
    def name(self) -> str:
        """Name of the file of its candidates."""
        return f"part-{self.number:05d}.parquet"


class BatchJob(BaseModel):
    """A plan, and where everything lies: what a process needs to answer parts. The same in all of them.

    Attributes:
        plan: what to do.
        run: folder of the run.
        queries: folder of the files of queries.
        out: folder of the candidates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plan: BatchPlan
    run: Path
    queries: Path
    out: Path

    @property
    def function(self) -> CandidateFunction:
        """What answers the queries."""
        plan = self.plan
        return CandidateFunction(run=self.run, digest=plan.run_digest, options=plan.options, keep=plan.keep)


def _text(folder: Path) -> str:
    read_json(folder / PLAN)  # its error names the file
    return (folder / PLAN).read_text("utf-8")


def _flat(plan: BatchPlan) -> dict[str, Any]:
    data = plan.model_dump(mode="json")
    return {**{key: value for key, value in data.items() if key not in ("options", "run_digest")}, **data["options"]}


def _shown(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return " and ".join(
            f"{entry['name']} ({entry['rows']:,} rows, sha256 {entry['sha256'][:8]})" for entry in value
        )
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
