"""A channel of another package has its section in the configuration, and one that cannot be used says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CHANNEL = """
from pydantic import Field
from kg.settings import Settings
from recall.channels.popularity import Popularity

class StrollConfig(Settings):
    '''Hyper-parameters of a stroll.'''
    length: int = Field(default=3, ge=1, description="Steps of the stroll.")

class Stroll(Popularity):
    name = "stroll"
    config_type = StrollConfig

class Ease(Stroll):
    name = "ease"

class Needy(Stroll):
    name = "needy"
    class config_type(Settings):
        length: int = Field(description="Steps.")
"""
PROGRAM = """
import sys
from kg.errors import ConfigError
from recall.config.deployment import parse_config
from recall.config.reference import as_text
from pathlib import Path
import tomllib
for text in sys.argv[1:]:
    try:
        config = parse_config({"sources": {}, **tomllib.loads(text)}, base=Path())
        print(config.to_json()["channels"]["stroll"], config.pipeline.channels, config.evaluation.baselines)
    except ConfigError as error:
        print(" ".join(str(error).split()))
print("Steps of the stroll." in as_text())
"""


def run(folder: Path, entry_points: dict[str, str], *configs: str) -> list[str]:
    """What configurations come to with a package of channels installed."""
    folder.mkdir()
    (folder / "strolling.py").write_text(CHANNEL)
    info = folder / "strolling-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strolling\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (info / "entry_points.txt").write_text("[graphrecall.channels]\n" + "\n".join(lines) + "\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *configs], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_its_section_is_checked_by_its_own_class(tmp_path: Path) -> None:
    good, wrong, unknown, measured, listed = run(
        tmp_path / "site",
        {"stroll": "strolling:Stroll"},
        '[channels.stroll]\nlength = 5\n[pipeline]\nchannels = ["lightgcn", "stroll"]',
        "[channels.stroll]\nlength = 0",
        "[channels.stroll]\nlenght = 2",
        '[evaluation]\nbaselines = ["stroll"]',
    )
    assert good.startswith("{'length': 5} ('lightgcn', 'stroll')")
    assert "channels.stroll.length = 0 must be at least 1" in wrong
    assert "channels.stroll.lenght: unknown key, did you mean 'length'?" in unknown
    assert measured == "{'length': 3} ('lightgcn', 'walk') ('stroll',)"
    assert listed == "True"


def test_one_that_cannot_be_used_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    broken, twice, twice_served, needy, others, listed = run(
        tmp_path / "site",
        {"stroll": "strolling:Stroll", "gone": "not_there:Gone", "ease": "strolling:Ease", "needy": "strolling:Needy"},
        "[channels.gone]\na = 1",
        "[channels.ease]\nweights = 5",
        '[pipeline]\nchannels = ["ease"]',
        "[channels.needy]\nlength = 5",
        "[channels.item_knn]\nneighbours = 5",
    )
    assert (
        "channels.gone: the channel 'gone' of the package strolling cannot be used: importing not_there:Gone" in broken
    )
    for message in (twice, twice_served):
        assert "there are two channels 'ease', of the packages graphrecall and strolling: uninstall one" in message
    assert "every key of its config_type needs a default" in needy
    assert others.startswith("{'length': 3}")
    assert listed == "True"
