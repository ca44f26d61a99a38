"""Spark answers the parts of a batch by `mapInArrow`, on as many machines as its cluster has (extra `spark`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from kg.errors import BatchError, ConfigError
from recall.batch.plan import BatchJob, Part
from recall.batch.work import RESULTS, PartResult, PartsFunction

THIS_MACHINE = "local[*,4]"
"""All cores, and as many tries of a task as on a cluster: with one try nothing would be done again."""

_NAMES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.int32(): "int",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.bool_(): "boolean",
}


def answer_with_spark(job: BatchJob, parts: Sequence[Part], *, cluster: str | None = None) -> Iterator[PartResult]:
    """Answer parts as tasks of Spark; a task whose process or machine dies is run again elsewhere.

    Args:
        job: what to do; all machines see its folders under the same paths.
        parts: which of them.
        cluster: master, such as "spark://head:7077", "yarn" or "sc://head"; None: this machine. Where there is an
            active session, its tasks are used and this counts for nothing.

    Yields:
        The result of each part, when all are done.

    Raises:
        BatchError: Spark gave up.
        ConfigError: there is no cluster at the address, or no Java.
    """
    active = SparkSession.getActiveSession()
    session = active or _session(cluster or THIS_MACHINE)
    function = PartsFunction(job=job, numbers=tuple(part.number for part in parts))
    try:
        # A partition for each part: what is lost with a machine is a part, not several.
        places = session.range(0, len(parts), 1, len(parts))
        rows = places.mapInArrow(function, spark_schema(RESULTS)).collect()
    except (PySparkException, Py4JError) as error:
        raise BatchError(
            f"Spark could not finish the batch: {error!s:.500}. What is finished stays: the same command goes on from "
            "there"
        ) from error
    finally:
        if active is None:
            session.stop()
    for row in rows:
        yield PartResult(**row.asDict())


def spark_schema(schema: Any) -> str:
    """An Arrow schema as `mapInArrow` wants it.

    Raises:
        ConfigError: a column is of a type that candidates do not have.
    """
    if strange := [field for field in schema if field.type not in _NAMES]:
        raise ConfigError(f"the column {strange[0].name!r} is of the type {strange[0].type}, not of a plain one")
    return ", ".join(f"`{field.name.replace('`', '``')}` {_NAMES[field.type]}" for field in schema)


def _session(cluster: str) -> SparkSession:
    builder = SparkSession.builder.appName("graphrecall batch").config("spark.ui.showConsoleProgress", "false")
    builder = builder.remote(cluster) if cluster.startswith("sc://") else builder.master(cluster)
    if cluster.startswith("local"):
        # The other processes are of this machine, so they are to find what this one does.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = builder.config("spark.executorEnv.PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    try:
        return builder.getOrCreate()
    except (PySparkException, Py4JError, OSError) as error:
        raise ConfigError(
            f"Spark does not start with the master {cluster!r}: {error!s:.500}. It needs Java 17 or newer (JAVA_HOME), "
            "and a cluster that is there"
        ) from error
