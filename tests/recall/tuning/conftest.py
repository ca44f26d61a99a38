"""A deployment to search, and one search of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recall.config.sections import LIGHTGCN
from recall.jobs.refresh import RefreshResult
from recall.tuning.result import Search
from recall.tuning.tune import tune

TUNE = """
[tune.channels.lightgcn]
dim = [4, 8]
[tune.channels.lightgcn.training]
batch_size = [32, 64]
temperature = { low = 0.08, high = 0.2, log = true }
"""


@pytest.fixture(scope="session")
def searchable(deployment: Path, refreshed: RefreshResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config of a deployment with a section `tune`, a run, and text vectors in the cache."""
    folder = tmp_path_factory.mktemp("searchable") / "deployment"
    shutil.copytree(deployment.parent, folder, symlinks=True)
    (folder / "config.toml").write_text(deployment.read_text() + TUNE)
    return folder / "config.toml"


@pytest.fixture(scope="session")
def tuned(searchable: Path) -> Search:
    """Six trials of the model of `searchable`."""
    return tune(searchable, trials=6)[LIGHTGCN]
