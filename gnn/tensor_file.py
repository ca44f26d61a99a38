"""Writing arrays into a safetensors file, whole or not at all; reading one executes no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from kg.io.files import atomic_path


def write_tensors(
    target: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file that may be read by whoever may read the other files that this process writes.

    Args:
        target: path of the file.
        tensors: name -> array of any shape and a type of numpy.
        metadata: texts by name, kept in the file's header.
    """
    with atomic_path(target) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        save_file(contiguous, temporary, metadata=None if metadata is None else dict(metadata))
        # Newer versions of safetensors put a file in its place that only its owner may read; a run is written by one
        # account and often served by another.
        temporary.chmod(mode)
