"""Bytes of a published run are flipped, one at a time: loading it must always notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kg.errors import ArtifactError
from kg.io.files import MANIFEST
from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender
from tests.soak.journal import Journal


def flip_bytes(run: RunLayout, state: Path, *, places: int, every: int = 1, seed: int = 0) -> Journal:
    """Flip a byte in each file, load, and put it back.

    Args:
        run: a run of its own, that nobody uses.
        state: folder of the journal; files that were tried before are left out.
        places: how many bytes of each file: the first, the last, and drawn ones.
        every: of the manifest every byte, or each so many.
        seed: of places and flips.
    """
    journal = Journal(state / "flipped.jsonl")
    Recommender.load(run.path)
    tried = {line["file"] for line in journal.lines}
    for path in sorted(path for path in run.path.rglob("*") if path.is_file()):
        name = str(path.relative_to(run.path))
        size = path.stat().st_size
        if name in tried or not size:
            continue
        random = np.random.default_rng([seed, size])
        if name == MANIFEST:
            where = list(range(0, size, every))
        else:
            where = sorted({0, size - 1, *random.integers(0, size, max(0, places - 2)).tolist()})
        unnoticed = [at for at in where if not _noticed(run, path, at, int(random.integers(1, 256)))]
        problems = [f"byte {at} of {name} was flipped and nobody noticed" for at in unnoticed]
        journal.add(kind="flip", file=name, tried=len(where), problems=problems)
    Recommender.load(run.path)
    return journal


def _noticed(run: RunLayout, path: Path, at: int, flip: int) -> bool:
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ flip]))
    try:
        Recommender.load(run.path)
    except ArtifactError:
        return True
    else:
        return False
    finally:
        with path.open("r+b") as stream:
            stream.seek(at)
            stream.write(bytes([byte]))
