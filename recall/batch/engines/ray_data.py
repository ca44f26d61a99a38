"""Ray Data answers the parts of a batch, on as many machines as its cluster has (extra `ray`)."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import ray
from ray.data import DataContext
from ray.exceptions import RayError

from kg.errors import BatchError, ConfigError
from recall.batch.plan import BatchJob, Part
from recall.batch.work import PartResult, PartsFunction, results_of

_SECONDS = 10.0  # that a machine of the cluster may take to accept a connection


def answer_with_ray(
    job: BatchJob, parts: Sequence[Part], *, cluster: str | None = None, workers: int | None = None
) -> Iterator[PartResult]:
    """Answer parts as tasks of Ray; a task whose process or machine dies is run again elsewhere.

    Args:
        job: what to do; all machines see its folders under the same paths.
        parts: which of them.
        cluster: address, such as "auto" or "ray://head:10001"; None: that of RAY_ADDRESS, or else this machine. Where
            Ray is connected already, it stays so and this counts for nothing.
        workers: tasks at a time; None: as many as the cluster has cores.

    Yields:
        The result of each part, as they come.

    Raises:
        BatchError: Ray gave up.
        ConfigError: there is no cluster at the address.
    """
    connected = ray.is_initialized()
    if not connected:
        try:
            _look_for(cluster)
            ray.init(address=cluster, log_to_driver=False, logging_level=logging.WARNING)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"there is no Ray at {cluster or 'this machine'}: {error}") from error
    try:
        yield from _answer(PartsFunction(job=job, numbers=tuple(part.number for part in parts)), workers)
    except RayError as error:
        raise BatchError(
            f"Ray could not finish the batch: {error!s:.500}. What is finished stays: the same command goes on from "
            "there"
        ) from error
    finally:
        if not connected:
            ray.shutdown()


def _look_for(cluster: str | None) -> None:
    """Raise an OSError where nothing listens at an address; Ray itself would go on trying for minutes."""
    if cluster is not None and (place := urlsplit(cluster if "//" in cluster else f"//{cluster}")).port is not None:
        socket.create_connection((place.hostname or "", place.port), timeout=_SECONDS).close()


def _answer(function: PartsFunction, workers: int | None) -> Iterator[PartResult]:
    DataContext.get_current().enable_progress_bars = False

    def answer(table: Any) -> Any:
        return pa.Table.from_batches(function(table.to_batches()))

    count = len(function.numbers)
    # A block for each part: what is lost with a machine is a part, not several.
    places = ray.data.range(count, override_num_blocks=count)
    results = places.map_batches(answer, batch_size=None, batch_format="pyarrow", concurrency=workers)
    for table in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from results_of(table)
