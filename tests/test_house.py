"""The shape of the house: who imports whom, and what the wheel holds."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_imports_go_one_way() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_four_packages_and_no_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {"kg", "gnn", "recall", "ingest"} <= tops
    assert all(top in {"kg", "gnn", "recall", "ingest"} or top.endswith(".dist-info") for top in tops)
    assert not [name for name in names if name.endswith((".csv", ".gz", ".ttl", ".nt", ".parquet"))]
    assert {f"{package}/py.typed" for package in ("kg", "gnn", "recall", "ingest")} <= set(names)
    queries = {str(path.relative_to(ROOT)) for path in ROOT.glob("kg/cypher/queries/**/*.cypher")}
    assert len(queries) >= 5
    assert queries <= set(names)
    folders = ("recall/service/page/static", "recall/view/static", "recall/view/notebook")
    page = {str(path.relative_to(ROOT)) for folder in folders for path in ROOT.glob(f"{folder}/**/*.*")}
    assert {path.rpartition(".")[2] for path in page} >= {"html", "css", "js", "mjs", "txt"}
    assert page <= set(names)


def test_the_wheel_has_the_extras_that_the_pages_name(wheel: Path) -> None:
    wanted = f"{wheel}[offline,tune,schedule,service,mcp,notebook,online,pgvector,ray,spark]"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps", wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "does not provide the extra" not in done.stdout + done.stderr


def test_nobody_is_told_to_install_it_from_an_index() -> None:
    folders = ("kg", "gnn", "ingest", "recall", "docs", "examples", "notebooks")
    files = [ROOT / "README.md", *(path for name in folders for path in (ROOT / name).rglob("*.*") if path.is_file())]
    texts = {path: path.read_bytes() for path in files if path.suffix in (".py", ".md", ".ipynb", ".toml")}
    assert [str(path) for path, text in texts.items() if b"install 'graphrecall[" in text] == []
    assert [str(path) for path, text in texts.items() if b"pip install graphrecall" in text] == []


def test_the_installed_wheel_works_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)],
        check=True,
        capture_output=True,
    )
    program = (
        "import kg, gnn, recall, ingest, sys; from recall import Recommender; from recall.cli.main import main\n"
        f"assert all(p.__file__.startswith({str(site)!r}) for p in (kg, gnn, recall, ingest)), kg.__file__\n"
        "print(kg.__version__)\n"
        "sys.argv = ['graphrecall', '--help']\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "refresh" in done.stdout
