"""A run is data: whoever made it decides what stands in it, and it makes its reader do nothing but read it."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kg.errors import ArtifactError, ConfigError
from kg.io.files import write_manifest
from recall.jobs.forget import forget
from recall.jobs.refresh import RefreshResult
from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder
from recall.serve.opened import copy_run
from recall.serve.recommender import Recommender
from recall.serve.store import RunStore

CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel
Path({mark!r}).touch()
class Evil(BertModel):
    pass
"""


def forged(run: RunLayout, folder: Path, **config: Any) -> Path:
    """A copy of a run with another configuration and a manifest that lists what is there, as anybody can write it."""
    shutil.copytree(run.path, folder)
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**data, **config}))
    return listed(folder)


def listed(folder: Path) -> Path:
    write_manifest(folder, {"created": "2026-01-31"})
    return folder


@pytest.mark.parametrize("name", ["report.html", "graph", "store/graph.lbug"])
def test_a_run_with_a_link_is_refused(refreshed: RefreshResult, tmp_path: Path, name: str) -> None:
    folder = forged(refreshed.run, tmp_path / "runs" / refreshed.run.name)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    listed(folder)
    with pytest.raises(ArtifactError, match=f"holds a link, {name}: "):
        Recommender.load(folder)
    with pytest.raises(ArtifactError, match="holds a link"):
        copy_run(RunLayout(folder), tmp_path / "copy")
    if name.startswith("store"):
        with pytest.raises(ArtifactError, match="holds a link"):
            RunStore(RunLayout(folder)).query("RETURN 1 AS x")


def test_a_run_downloads_no_text_model(
    refreshed: RefreshResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def download(*_: object, local_files_only: bool, **__: object) -> str:
        assert local_files_only, "a model that the run names was to be downloaded"
        raise huggingface_hub.errors.LocalEntryNotFoundError("nothing here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    folder = forged(refreshed.run, tmp_path / "run", text={"model": "somebody/model"})
    with pytest.raises(ArtifactError, match=r"'somebody/model', which is not on this machine.*downloads none"):
        Recommender.load(folder).recommend_for(text="The night", k=3)


def test_code_beside_a_text_model_is_never_run(refreshed: RefreshResult, tmp_path: Path) -> None:
    from gnn.text.model import TextConfig, find_model

    packaged = find_model(TextConfig()).folder
    assert packaged is not None
    model, mark = tmp_path / "model", tmp_path / "mark"
    shutil.copytree(packaged, model)
    (model / "evil.py").write_text(CODE.format(mark=str(mark)))
    for name in ("config.json", "tokenizer_config.json"):
        settings = json.loads((model / name).read_text())
        settings["auto_map"] = {"AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
        (model / name).write_text(json.dumps(settings))
    folder = forged(refreshed.run, tmp_path / "run", text={"model": str(model)})
    with suppress(ArtifactError):  # either way is fine, as long as nothing of it is run
        Recommender.load(folder).recommend_for(text="The night", k=3)
    assert not mark.exists()


@pytest.mark.parametrize(
    "section", [{"privacy": {"key_file": "/etc/hostname"}}, {"neo4j": {"uri": "bolt://127.0.0.1:1"}}], ids=str
)
def test_forgetting_takes_keys_and_databases_from_the_configuration_alone(
    refreshed: RefreshResult, tmp_path: Path, section: dict[str, Any]
) -> None:
    folder = forged(refreshed.run, tmp_path / "runs" / refreshed.run.name, **section)
    with pytest.raises(ConfigError, match="give CONFIG in place of the runs folder"):
        forget(RunsFolder(folder.parent), ["u1"])
    assert not (folder.parent / ".privacy").exists()
