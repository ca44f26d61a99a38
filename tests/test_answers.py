"""Today's answers beside those that the first edition of the code gave for the same data and configuration.

`tests/answers/*.json` were recorded with the first edition. Channel names are not compared: they were renamed since.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from recall.config.deployment import load_config
from recall.jobs.refresh import refresh
from tests.answers.recording import FUSED, answers_of
from tests.recall.conftest import ONE_CHANNEL, write_deployment

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "tests" / "answers"
TOLERANCE = 2e-4  # threads add in another order, and a training carries that on


def compared(now: dict[str, Any], before: dict[str, Any]) -> dict[str, int]:
    """Counts of what was compared and found equal; what differs fails."""
    counts = dict.fromkeys(("candidates", "explanations", "shares", "paths", "metrics"), 0)
    for name in ("recommend", "new_person", "text", "similar"):
        assert [row[0] for row in now[name]] == [row[0] for row in before[name]], name
        assert [row[2] for row in now[name]] == pytest.approx([row[2] for row in before[name]], abs=TOLERANCE), name
        swapped = [at for at, (new, old) in enumerate(zip(now[name], before[name], strict=True)) if new[1] != old[1]]
        scores = {(row[0], row[1]): row[2] for row in before[name]}
        for at in swapped:  # equal scores may change places
            assert scores.get(tuple(now[name][at][:2]), now[name][at][2]) == pytest.approx(
                before[name][at][2], abs=2 * TOLERANCE
            ), (name, at)
        counts["candidates"] += len(now[name])
    for new, old in zip(now["explain"], before["explain"], strict=True):
        if new["pair"] != old["pair"]:
            continue
        assert new["score"] == pytest.approx(old["score"], abs=TOLERANCE)
        assert new["parts"] == pytest.approx(old["parts"], abs=TOLERANCE)
        shares, earlier = sorted(new["shares"]), sorted(old["shares"])  # several nodes may have one title
        assert [text for text, _ in shares] == [text for text, _ in earlier], new["pair"]
        assert [value for _, value in shares] == pytest.approx([value for _, value in earlier], abs=TOLERANCE)
        assert new["paths_found"] == old["paths_found"]
        counts["explanations"] += 1
        counts["shares"] += len(new["shares"])
        counts["paths"] += new["paths_found"]
    for new, old in zip(now["metrics"], before["metrics"], strict=True):
        assert new["group"] == old["group"]
        for name, value in old.items():  # what is measured since has no record
            if isinstance(value, int | float):
                assert new[name] == pytest.approx(value, abs=5e-3), (new, name)
                counts["metrics"] += 1
    return counts


@pytest.mark.parametrize(("name", "extra"), [("alone", ""), ("fused", FUSED.format(model="lightgcn"))])
def test_a_tiny_deployment_is_answered_as_before(name: str, extra: str, tmp_path: Path) -> None:
    config = write_deployment(tmp_path)
    one_channel = f"[pipeline]\n{ONE_CHANNEL}\n"
    text = config.read_text().replace(one_channel, "") if extra else config.read_text()
    config.write_text(text + extra)
    run = refresh(load_config(config)).run
    assert run is not None
    before = json.loads((RECORDED / "tiny.json").read_text(encoding="utf-8"))[name]
    counts = compared(answers_of(run.path, users=16, pairs=16), before)
    assert counts["candidates"] == 200
    assert counts["explanations"] == 16
    assert min(counts.values()) > 0


@pytest.mark.slow
def test_the_demo_is_answered_as_before(tmp_path: Path) -> None:
    example = tmp_path / "examples" / "movies"
    shutil.copytree(ROOT / "examples" / "movies", example)
    demo = example / "demo.toml"
    demo.write_text(demo.read_text(encoding="utf-8") + f"\n[pipeline]\n{ONE_CHANNEL}\n", encoding="utf-8")
    run = refresh(load_config(demo)).run
    assert run is not None
    before = json.loads((RECORDED / "demo.json").read_text(encoding="utf-8"))
    counts = compared(answers_of(run.path, users=100, pairs=20), before)
    assert counts["candidates"] == 1040
    assert min(counts.values()) > 0
