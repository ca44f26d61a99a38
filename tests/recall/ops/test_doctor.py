"""The doctor finds foreign packages, shadowing folders and unusable runs folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from recall.ops.doctor import PACKAGES, examine, package_checks, runs_folder_checks

REPOSITORY = Path(__file__).resolve().parents[3]


def diagnose(site: Path, *, cwd: Path | None = None) -> dict[str, tuple[str, str]]:
    """Package checks in a Python whose site folder is made up, with this checkout behind it."""
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util as u\n"
        f"spec = u.spec_from_file_location('doctor', {str(REPOSITORY / 'recall' / 'ops' / 'doctor.py')!r})\n"
        "module = u.module_from_spec(spec); sys.modules['doctor'] = module; spec.loader.exec_module(module)\n"
        "print(json.dumps([[c.name, c.status, c.detail] for c in "
        "module.package_checks(packages=['gnn'], owner='graphrecall')]))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(site)], capture_output=True, text=True, check=True, cwd=cwd or site
    )
    return {detail: (name, status) for name, status, detail in json.loads(done.stdout)}


def install(site: Path, distribution: str, files: dict[str, str]) -> None:
    import base64
    import hashlib

    lines = []
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text)}")
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]) + "\n")


def test_a_sound_wheel_install_is_ok(tmp_path: Path) -> None:
    install(tmp_path, "graphrecall", {"gnn/__init__.py": "a = 1\n"})
    assert set(diagnose(tmp_path, cwd=tmp_path).values()) == {("gnn", "ok")}


def test_a_second_distribution_with_our_package_is_found(tmp_path: Path) -> None:
    install(tmp_path, "graphrecall", {"gnn/__init__.py": "a = 1\n"})
    install(tmp_path, "gnn", {"gnn/__init__.py": "b = 2\n"})
    ((detail, status),) = diagnose(tmp_path).items()
    assert status == ("gnn", "broken")
    assert "gnn also installs" in detail


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    install(tmp_path, "graphrecall", {"gnn/__init__.py": "a = 1\n", "gnn/model.py": "x = 1\n"})
    (tmp_path / "gnn" / "model.py").write_text("x = 2\n")
    ((detail, status),) = diagnose(tmp_path).items()
    assert status == ("gnn", "broken")
    assert "gnn/model.py" in detail


def test_a_lost_init_file_is_found(tmp_path: Path) -> None:
    install(tmp_path, "graphrecall", {"gnn/__init__.py": "a = 1\n", "gnn/model.py": "x = 1\n"})
    (tmp_path / "gnn" / "__init__.py").unlink()
    ((detail, status),) = diagnose(tmp_path).items()
    assert status == ("gnn", "broken")
    assert "empty namespace" in detail


def test_a_folder_that_comes_first_is_found(tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    install(site, "graphrecall", {"gnn/__init__.py": "a = 1\n"})
    (work / "gnn").mkdir(parents=True)
    findings = diagnose(site, cwd=work)
    assert ("gnn", "warning") in findings.values()
    assert any("hides it" in detail for detail in findings)
    (work / "gnn" / "__init__.py").write_text("")
    code = textwrap.dedent(
        """
        import sys; sys.path[:0] = [sys.argv[2], sys.argv[1]]
        import importlib.util as u
        spec = u.spec_from_file_location('doctor', sys.argv[3])
        module = u.module_from_spec(spec); sys.modules['doctor'] = module; spec.loader.exec_module(module)
        print([c.status for c in module.package_checks(packages=['gnn'])])
        """
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(site), str(work), str(REPOSITORY / "recall" / "ops" / "doctor.py")],
        capture_output=True,
        text=True,
        check=True,
        cwd=site,
    )
    assert "broken" in done.stdout


def test_this_checkout_is_sound(tmp_path: Path) -> None:
    checks = list(package_checks(working_folder=tmp_path))
    assert [check.name for check in checks] == list(PACKAGES)
    assert not [check for check in checks if check.status == "broken"]


def test_the_runs_folder_is_tried(tmp_path: Path) -> None:
    assert {check.status for check in runs_folder_checks(tmp_path / "new" / "runs")} <= {"ok", "warning"}
    (tmp_path / "file").write_text("")
    assert [check.status for check in runs_folder_checks(tmp_path / "file" / "runs")] == ["broken"]
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    assert next(iter(runs_folder_checks(tmp_path / "closed" / "runs"))).status == "broken"


def test_everything_is_looked_at(tmp_path: Path) -> None:
    checks = examine(runs=tmp_path)
    assert {"libraries", "devices", "packages", "text model", "runs folder"} == {check.group for check in checks}
    assert {"torch", "faiss-cpu", "pyarrow"} <= {check.name for check in checks}
