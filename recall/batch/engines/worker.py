"""A process of the local engine: it answers the parts whose numbers it is sent, until its parent ends it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from kg.processes.parent import Parent


def main() -> None:
    """What a `kg.processes.child.Child` starts; its argument is the number of threads that it may have."""
    parent = Parent.connected()
    os.environ["OMP_NUM_THREADS"] = parent.arguments[0]
    # Only now: what these load asks for the number of threads once.
    from recall.batch.plan import BatchJob
    from recall.batch.work import answer_part

    job = BatchJob.model_validate_json(parent.receive())
    parts = job.plan.parts()
    while True:
        result = answer_part(job, parts[int(parent.receive())])
        parent.send(json.dumps(asdict(result)).encode())
