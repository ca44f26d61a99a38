"""Every notebook runs, in its quick form, and is kept with the outputs of a whole run."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CELL_SECONDS = 240
MOST_BYTES, MOST_IMAGE_BYTES = 400_000, 100_000
# A path that begins at a root: not the end of a tag of HTML, nor a part of an IRI or of a relative path.
ABSOLUTE_PATH = re.compile(r"(?<![\w<>:/.~*-])(?:/\w[\w.-]*/|[A-Z]:\\\\?\w)")

WIDGET = "application/vnd.jupyter.widget-view+json"  # is not kept: it needs the process that drew it
ADVICE = "run `python notebooks/run.py`, which keeps the outputs"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell: Any) -> list[tuple[str, ...]]:
    """What the outputs of a cell are, but for widgets and what was written to the standard error.

    The standard error cuts the standard output in two where it comes in between, at another place in each run.
    """
    found = [
        (output.output_type, *sorted(set(output.get("data", {})) - {WIDGET}))
        for output in cell.outputs
        if output.get("name") != "stderr"
    ]
    return [kind for at, kind in enumerate(found) if kind != ("stream",) or found[at - 1 : at] != [kind]]


def test_an_output_that_an_error_cuts_in_two_is_one() -> None:
    def stream(name: str) -> Any:
        return nbformat.v4.new_output("stream", name=name, text="a")

    shown = nbformat.v4.new_output("display_data", data={"text/plain": "a"})
    cut = nbformat.v4.new_code_cell(outputs=[stream("stdout"), stream("stderr"), stream("stdout"), shown])
    assert kinds(cut) == [("stream",), ("display_data", "text/plain")]


def texts(output: Any) -> list[str]:
    """The texts of an output, but for images."""
    data = {kind: text for kind, text in output.get("data", {}).items() if kind != "image/png"}
    return [text for text in (output.get("text"), *data.values()) if text]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        ("read /tmp/a/b.csv", True),
        ("'/home/somebody/run'", True),
        (r"C:\\Users", True),
        ("</td></tr>", False),
        ("<https://movielens.org/movies/541>", False),
        ("examples/movies/demo.toml, 4/5 and user/item", False),
    ],
)
def test_what_an_absolute_path_is(text: str, is_path: bool) -> None:
    assert bool(ABSOLUTE_PATH.search(text)) is is_path


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
    kept = nbformat.read(path, as_version=4)
    for number, (cell, with_outputs) in enumerate(zip(code_cells(notebook), code_cells(kept), strict=True), start=1):
        assert kinds(cell) == kinds(with_outputs), f"the outputs of code cell {number} are of another run: {ADVICE}"
    assert before == {folder: files_below(ROOT / folder) for folder in before}, "it wrote outside its temporary folder"


@every_notebook
def test_it_is_kept_with_the_outputs_of_a_whole_run(path: Path) -> None:
    assert path.stat().st_size <= MOST_BYTES
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), ADVICE
    assert any("image/png" in kind for cell in cells for kind in kinds(cell)), f"a notebook shows a plot: {ADVICE}"
    for number, cell in enumerate(cells, start=1):
        assert not cell.metadata, f"code cell {number} has metadata: clear it"
        for output in cell.outputs:
            assert output.output_type != "error", f"code cell {number} ended in an error: {ADVICE}"
            assert output.get("name") != "stderr", f"code cell {number} has warnings among its outputs: {ADVICE}"
            assert len(output.get("data", {}).get("image/png", "")) <= MOST_IMAGE_BYTES
            for text in texts(output):
                shown = ABSOLUTE_PATH.search(text)
                assert not shown, f"code cell {number} shows a path of somebody's machine: {text[shown.start() :][:80]}"
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert list(notebook.metadata.language_info) == ["name"], "the version of somebody's Python is no part of it"


@every_notebook
def test_it_ends_with_what_must_hold(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    last = [cell for cell in notebook.cells if cell.cell_type == "code"][-1]
    assert "assert " in last.source
