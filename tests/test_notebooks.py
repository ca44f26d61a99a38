"""Every notebook runs, in its quick form, and is kept without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL_SECONDS = 240

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@every_notebook
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_runs_to_its_end(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHRECALL_QUICK", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    before = {folder: files_below(ROOT / folder) for folder in ("notebooks", "examples")}
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    problem = ""
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        problem = str(error)
    if problem:  # the cell and its error say it all, without nbclient's own frames
        pytest.fail(f"{path.name}: {problem}", pytrace=False)
    drawn = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert drawn, "a notebook shows at least one plot"
    assert before == {folder: files_below(ROOT / folder) for folder in before}, "it wrote outside its temporary folder"


@every_notebook
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            assert not cell.outputs, f"cell {number} has outputs: clear them before committing"
            assert cell.execution_count is None, f"cell {number} has an execution count: clear it"
            assert not cell.metadata, f"cell {number} has metadata: clear it"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert list(notebook.metadata.language_info) == ["name"], "the version of somebody's Python is no part of it"


@every_notebook
def test_it_ends_with_what_must_hold(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert "assert " in last.source
