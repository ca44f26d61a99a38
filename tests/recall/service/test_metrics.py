"""Where the workers of the service add up their metrics."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from recall.service import server
from recall.service.metrics import WORKERS_FOLDER


@pytest.mark.parametrize("has_memory", [True, False])
def test_workers_add_up_their_metrics_in_memory_where_there_is_such_a_folder(
    has_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    disk.mkdir()
    if has_memory:
        memory.mkdir()
    monkeypatch.setattr(server, "IN_MEMORY", memory)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with server._shared_metrics():
        folder = Path(os.environ[WORKERS_FOLDER])
        assert folder.parent == (memory if has_memory else disk)
    assert not folder.exists()
    assert WORKERS_FOLDER not in os.environ
