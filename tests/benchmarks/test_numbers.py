"""The numbers in the documentation are those of the result files, and none is typed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks import numbers, results
from kg.io.files import read_json, write_json

EXPRESSIONS = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", flags=re.DOTALL)
NAMES = re.compile(r"`[^`\n]*`|recall@20|NDCG@20|p50|p95|p99|Neo4j|RP3beta|95% bootstrap", flags=re.IGNORECASE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the result files and of the pages made from them, free to be changed."""
    shutil.copytree(results.FOLDER, tmp_path / "results", ignore=shutil.ignore_patterns("*.png"))
    (tmp_path / "docs").mkdir()
    for page in numbers.pages():
        shutil.copy(page, tmp_path / page.relative_to(numbers.ROOT))
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(numbers, "ROOT", tmp_path)
    return tmp_path


def change(project: Path, name: str, model: str, values: dict[str, object]) -> None:
    path = project / "results" / f"{name}.json"
    result = read_json(path)
    next(entry for entry in result["rows"] if entry["model"] == model).update(values)
    write_json(path, result)


def test_the_pages_are_what_the_results_give() -> None:
    numbers.main(["--check"])


def test_the_readme_has_a_part_of_numbers() -> None:
    assert numbers.PART.search((numbers.ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("template", sorted(numbers.TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_no_number_is_typed_in_a_template(template: Path) -> None:
    prose = NAMES.sub("", EXPRESSIONS.sub("", template.read_text(encoding="utf-8")))
    assert [line for line in prose.splitlines() if re.search(r"\d", line)] == []


def test_another_result_changes_the_pages(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers.main(["--check"])
    change(project, "gowalla", "popularity", {"recall@20": 0.0432})
    with pytest.raises(SystemExit) as exit_:
        numbers.main(["--check"])
    assert exit_.value.code == 1
    assert "numbers.md is not what benchmarks/results gives" in capsys.readouterr().err
    numbers.main([])
    assert ".0432" in (project / "docs" / "numbers.md").read_text(encoding="utf-8")
    assert "| popularity | .043 /" in (project / "README.md").read_text(encoding="utf-8")
    numbers.main(["--check"])


def test_a_remark_that_no_longer_holds_is_refused(project: Path) -> None:
    change(project, "gowalla", "fused", {"recall@20": 0.1})
    with pytest.raises(ValueError, match="no longer show that fused is above the published figures"):
        numbers.main([])


def test_a_missing_row_is_named(project: Path) -> None:
    change(project, "gowalla", "fused", {"model": "together"})
    with pytest.raises(LookupError, match=r"gowalla.json: 0 rows have \{'model': 'fused'\}"):
        numbers.main([])


def test_a_missing_file_is_named(project: Path) -> None:
    (project / "results" / "rdf.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"rdf\.json is missing: run the benchmark"):
        numbers.main([])


def test_every_result_file_is_shown() -> None:
    page = (numbers.ROOT / "docs" / "numbers.md").read_text(encoding="utf-8")
    for name in numbers.Results(results.FOLDER):
        assert page.count(f"[`{name}.json`](../benchmarks/results/{name}.json)") == 1, name


def test_numbers_are_written_without_the_zero() -> None:
    assert numbers.fraction(0.1577) == ".158"
    assert numbers.fraction(-0.0008, 4) == "-.0008"
    assert numbers.fraction(1.04, 2) == "1.04"
    assert numbers.interval([0.1, 0.25]) == ".100 to .250"
    entry = {"recall@20": 0.158, "recall@20 spread": 0.003, "recall@20 interval": [0.143, 0.173]}
    assert numbers.measured(entry, "recall@20") == ".158 ± .003 (.143 to .173)"
    assert numbers.measured(entry, "ndcg@20") == ""


def test_the_growth_of_a_refresh_is_shown_once_it_was_measured(project: Path) -> None:
    """The page has a row a size, as far as it came, and says where one was ended."""
    (project / "results" / "scaling.json").unlink(missing_ok=True)
    numbers.main([])
    page = project / "docs" / "numbers.md"
    assert "How a refresh" not in page.read_text(encoding="utf-8")
    size = {"users": 4000, "items": 1666, "read_seconds": 0.5, "map_seconds": 1.6}
    whole = dict.fromkeys(("lightgcn", "step", "index", "walk", "weigh", "evaluate", "publish"), 7.25)
    rows = [
        {"model": "small", **size, **{f"{part}_seconds": taken for part, taken in whole.items()}, "peak_gib": 1.25},
        {"model": "large", **size, "peak_gib": 13.5, "ended": "SIGXCPU", "in": "measuring on test"},
    ]
    rows = [row | {"memory_gib": 14, "processor_minutes": 25} for row in rows]
    rows[0]["ended"] = "published"
    facts = {name: read_json(results.FOLDER / "walk_scaling.json")[name] for name in ("commit", "machine", "versions")}
    settings = {"steps": 20, "trials": 4}
    write_json(project / "results" / "scaling.json", {"benchmark": "scaling", **facts, **settings, "rows": rows})
    numbers.main([])
    text = page.read_text(encoding="utf-8")
    assert "| small | 4,000 | 1,666 | 0.5 | 1.6 |" + " 7.25 |" * 7 + " 1.25 |" in text
    assert "| large | 4,000 | 1,666 | 0.5 | 1.6 |" + "  |" * 7 + " 13.5 |" in text
    assert 'large ended in "measuring on test" (SIGXCPU), with 14 GiB and 25 minutes' in text
    assert "small ended" not in text
