"""Arrays in a safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from gnn.tensor_file import write_tensors


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_whoever_may_read_the_files_of_this_process_may_read_the_arrays(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "model.safetensors", {"vectors": np.eye(3)})
        (tmp_path / "model.json").write_text("{}")
    finally:
        os.umask(before)
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {".safetensors": 0o666 & ~umask, ".json": 0o666 & ~umask}


def test_arrays_of_every_order_and_shape_come_back(tmp_path: Path) -> None:
    arrays = {"turned": np.arange(6).reshape(2, 3).T, "single": np.array(7, np.int64), "none": np.empty((0, 4))}
    write_tensors(tmp_path / "a.safetensors", arrays, {"header": "5"})
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as stored:
        assert stored.metadata() == {"header": "5"}
        assert {*stored.keys()} == {*arrays}
        for name, array in arrays.items():
            np.testing.assert_array_equal(stored.get_tensor(name), array)
            assert stored.get_tensor(name).shape == array.shape
