"""A batch from its files of queries to its files of candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kg.errors import ConfigError
from kg.progress import SILENT, Progress
from recall.batch.engines.local import answer_locally
from recall.batch.output import begin, locked_output
from recall.batch.plan import BatchJob, BatchPlan, Part
from recall.batch.queries import look_at_queries
from recall.batch.work import PartResult
from recall.runs.layout import RunLayout
from recall.serve.questions import RecommendOptions

Engine = Literal["local", "ray", "spark"]
PART_QUERIES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What a batch has done.

    Attributes:
        run: name of the run that answered.
        out: folder of the candidates.
        queries: in all.
        parts: files of candidates in all.
        made: how many of the files were missing and are there now.
        candidates: that were written into these.
    """

    run: str
    out: Path
    queries: int
    parts: int
    made: int
    candidates: int


def run_batch(
    run: Path | str,
    queries: Path | str,
    out: Path | str,
    *,
    options: RecommendOptions | None = None,
    engine: Engine = "local",
    cluster: str | None = None,
    workers: int | None = None,
    part_queries: int = PART_QUERIES,
    keep: Sequence[str] = (),
    progress: Progress = SILENT,
) -> BatchResult:
    """Write the candidates of files of queries; what an earlier call has finished is not done again.

    The run is named once: the folder behind a link is looked up at the start, its checksums are compared, and all
    processes answer from it. A folder of candidates belongs to one run, the same queries and options.

    Args:
        run: folder of a run, or a link such as "runs/current".
        queries: a Parquet file, or a folder of such, with a row for each query; see docs/batch.md.
        out: folder of the candidates.
        options: what counts for all queries; default: those of the class.
        engine: what answers: processes of this machine, Ray Data, or Spark.
        cluster: address of the engine's cluster; None: this machine, or what RAY_ADDRESS names.
        workers: processes ("local"), or tasks at a time ("ray"); None: one for each core.
        part_queries: queries of a file of candidates.
        keep: columns of the queries that go along to their candidates.
        progress: listener.

    Raises:
        ArtifactError: the run is damaged, or the folder holds candidates of another batch.
        InvalidDataError: a query is none, or a column is missing, unknown or of another type.
        UnknownIdError: an id is not in the graph, and `on_unknown` is "raise".
        ConfigError: a value is out of range, or the engine is not installed or not there.
        BatchInProgressError: another process writes to the folder.
        BatchError: the engine gave up; the same call goes on from there.
    """
    answer = _engine(engine, cluster, workers)
    if part_queries < 1:
        raise ConfigError(f"part_queries = {part_queries} must be at least 1")
    layout, target = RunLayout.open(run), Path(out).absolute()
    with layout.hold(), locked_output(target):
        folder, files = look_at_queries(Path(queries), keep)
        plan = BatchPlan(
            run=layout.name,
            run_digest=str(layout.verify()["digest"]),
            queries=files,
            options=options or RecommendOptions(),
            keep=tuple(keep),
            part_queries=part_queries,
        )
        parts = plan.parts()
        missing = begin(plan, target)
        job = BatchJob(plan=plan, run=layout.path, queries=folder, out=target)
        candidates = 0
        with progress.task("answering queries", total=plan.total) as task:
            task.advance(plan.total - sum(part.count for part in missing))
            for result in answer(job, missing) if missing else ():
                result.check()
                task.advance(result.queries)
                candidates += result.candidates
    return BatchResult(
        run=layout.name,
        out=target,
        queries=plan.total,
        parts=len(parts),
        made=len(missing),
        candidates=candidates,
    )


def _engine(
    engine: Engine, cluster: str | None, workers: int | None
) -> Callable[[BatchJob, Sequence[Part]], Iterator[PartResult]]:
    if workers is not None and workers < 1:
        raise ConfigError(f"workers = {workers} must be at least 1")
    match engine:
        case "local":
            if cluster is not None:
                raise ConfigError("the engine local has no cluster: name the engine ray or spark")
            return lambda job, parts: answer_locally(job, parts, workers=workers)
        case "ray":
            try:
                from recall.batch.engines.ray_data import answer_with_ray
            except ImportError as error:
                raise _missing(error, "ray[data]>=2.40") from error
            return lambda job, parts: answer_with_ray(job, parts, cluster=cluster, workers=workers)
        case "spark":
            if workers is not None:
                raise ConfigError("Spark says itself how many tasks run at a time, by its settings: leave workers out")
            try:
                from recall.batch.engines.spark import answer_with_spark
            except ImportError as error:
                raise _missing(error, "pyspark[sql]>=4") from error
            return lambda job, parts: answer_with_spark(job, parts, cluster=cluster)
    raise ConfigError(f"engine = {engine!r} must be local, ray or spark")


def _missing(error: ImportError, package: str) -> ConfigError:
    return ConfigError(f"this engine needs the package {error.name}, which is not installed: pip install '{package}'")
