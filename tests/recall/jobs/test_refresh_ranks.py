"""`graphrecall refresh` under torchrun: several ranks train, one run is published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gnn.graph.embeddings import Embeddings
from recall.jobs.refresh import RefreshResult
from recall.serve.recommender import Recommender

pytestmark = pytest.mark.slow


def torchrun(config: Path) -> subprocess.CompletedProcess[str]:
    """The command with two ranks on this machine, as a user starts it."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"),
            *(str(Path(sys.executable).with_name("graphrecall")), "refresh", str(config), "--json"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_ranks_publish_the_run_that_one_would(
    make_deployment: Callable[[Path], Path], refreshed: RefreshResult, tmp_path: Path
) -> None:
    config = make_deployment(tmp_path / "deployment")
    done = torchrun(config)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # of the first rank alone
    assert result["status"] == "published"
    (run,) = (path for path in (config.parent / "runs").iterdir() if path.name == result["run"])
    shared, alone = (Embeddings.load(folder / "models" / "lightgcn") for folder in (run, refreshed.run.path))
    assert shared.facts["steps"] == alone.facts["steps"]
    np.testing.assert_allclose(shared.final, alone.final, atol=1e-4)
    assert Recommender.load(run).recommend(["u1"], k=3).table.num_rows == 3


def test_a_refresh_that_fails_in_the_first_rank_ends_the_others(
    make_deployment: Callable[[Path], Path], tmp_path: Path
) -> None:
    config = make_deployment(tmp_path / "deployment")
    (config.parent / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
    done = torchrun(config)
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")], done.stderr
    assert "lost another one" not in done.stderr
    assert not (config.parent / "runs" / "current").exists()
