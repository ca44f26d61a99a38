"""The registry: channels by name, those of installed packages too, and what is wrong with some."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kg.errors import ConfigError
from recall.channels import EASE, Popularity, channel_class, register, registered

ROOT = Path(__file__).parents[3]
PLUGINS = Path(__file__).parent / "plugin"
BUILT_IN = [
    "lightgcn",
    "gcn",
    "sasrec",
    "bert4rec",
    "gru4rec",
    "narm",
    "ease",
    "item_knn",
    "user_knn",
    "rp3beta",
    "cheby",
    "spectral",
    "content_knn",
    "text_interest",
    "attribute_knn",
    "walk",
    "popularity",
    "recent",
    "trending",
    "segment",
    "overlooked",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory):
    """Installs packages of `plugin/` into one folder for each choice, and gives the environment with it on the path."""
    made: dict[tuple[str, ...], dict[str, str]] = {}

    def install(*packages: str) -> dict[str, str]:
        if packages not in made:
            folder = tmp_path_factory.mktemp("site")
            options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
            command = [sys.executable, "-m", "pip", "install", *options, *(str(PLUGINS / name) for name in packages)]
            subprocess.run(command, check=True, capture_output=True)
            made[packages] = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
        return made[packages]

    return install


def python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_channels_that_are_built_in() -> None:
    assert list(registered()) == BUILT_IN
    for name, kind in registered().items():
        assert kind.name == name
        assert channel_class(name) is kind
        assert kind().config == kind.config_type()


def test_a_name_that_nothing_has_lists_what_there_is() -> None:
    with pytest.raises(
        ConfigError, match=r"there is no channel 'stroll'; there are lightgcn, gcn, sasrec, .*overlooked$"
    ):
        channel_class("stroll")


def test_a_second_channel_of_a_name_is_refused() -> None:
    class Other(Popularity):
        name = "ease"

    with pytest.raises(ConfigError, match="two channels 'ease', of the packages graphrecall and another"):
        register(Other, package="another")
    assert channel_class("ease") is EASE


def test_an_installed_package_adds_a_channel(site, tmp_path: Path) -> None:
    facts = json.loads(python(site("following"), str(PLUGINS / "use_channel.py"), str(tmp_path)))
    assert facts["registered"] == [*BUILT_IN, "following"]
    assert facts["package"] == "graphrecall_following"
    assert any("following" in source for source in facts["sources"])
    assert facts["parts"].count("following") == 1
    assert facts["explained"] == pytest.approx(facts["score"], rel=1e-4)
    assert facts["config"] == {"neighbours": 20}
    assert facts["same"]
    assert facts["candidates"] > 200


def test_faulty_packages_are_named_when_asked_for_and_the_others_go_on(site) -> None:
    program = (
        "from kg.errors import ConfigError\n"
        "from recall.channels import channel_class, registered\n"
        "print(' '.join(registered()))\n"
        "for name in ('broken', 'unfinished', 'misnamed', 'ease', 'following'):\n"
        "    try:\n"
        "        print(channel_class(name))\n"
        "    except ConfigError as error:\n"
        "        print(error)\n"
    )
    usable, broken, unfinished, misnamed, ease, following = python(
        site("following", "faulty"), "-c", program
    ).splitlines()
    assert usable.split() == [name for name in BUILT_IN if name != "ease"]
    assert broken.startswith("the channel 'broken' of the package graphrecall-faulty cannot be used: importing ")
    assert "ImportError: this machine lacks libwalk" in broken
    assert "lacks config_type, capabilities, recipe" in unfinished
    assert "has no attribute name = 'misnamed'" in misnamed
    assert "two channels 'ease', of the packages graphrecall and graphrecall-faulty" in ease
    assert "graphrecall-following" in following
    assert "graphrecall-faulty" in following
