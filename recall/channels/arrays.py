"""Arrays and sparse matrices of a saved channel: safetensors, so that loading executes no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix

from gnn.tensor_file import write_tensors
from kg.errors import ArtifactError


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays into one safetensors file."""
    write_tensors(path, arrays)


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_arrays` wrote.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        arrays: dict[str, npt.NDArray[Any]] = load_file(path)
    except Exception as error:  # safetensors raises its own untyped errors
        raise ArtifactError(f"{path} cannot be read: {error}") from error
    return arrays


def pack_csr(matrix: Any, name: str) -> dict[str, npt.NDArray[Any]]:
    """A CSR matrix as arrays."""
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def unpack_csr(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> Any:
    """The inverse of `pack_csr`."""
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return csr_matrix(parts, shape=tuple(int(size) for size in arrays[f"{name}_shape"]))
