"""What a message about a damaged file of a run names: the file, and the place in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg.errors import ArtifactError
from kg.io.files import write_json
from recall.runs.layout import RunLayout
from recall.runs.pipeline_file import SavedPipeline
from recall.runs.report import Report


@pytest.mark.parametrize(
    ("content", "place"),
    [({"channels": {"walk": {"kind": "models", "package": 1}}}, "channels.walk.package"), ([], "its content")],
)
def test_a_pipeline_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, place: str) -> None:
    run = RunLayout(tmp_path)
    monkeypatch.setattr(RunLayout, "check_format", lambda self: None)
    write_json(run.pipeline, content)
    with pytest.raises(ArtifactError, match=rf"pipeline\.json is damaged: {place}: "):
        SavedPipeline.load(run)


@pytest.mark.parametrize(
    ("content", "place"),
    [({"created": "", "fingerprint": "", "timings": {"build": "x"}}, "timings.build"), (1, "its content")],
)
def test_a_report(content: object, place: str) -> None:
    with pytest.raises(ArtifactError, match=rf"^report\.json is damaged: {place}: "):
        Report.parse(content)
