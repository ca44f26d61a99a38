"""Checks of an installation: libraries, devices, which files are imported, the text model, the runs folder.

The four import names are common words: PyPI has other distributions with a package `gnn`, and installing one of them
overwrites files of this one without a message from pip. So the checks look at the files behind each name.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

DISTRIBUTION = "graphrecall"
PACKAGES = ("kg", "ingest", "gnn", "recall")
LOW_DISK = 1_000_000_000

Status = Literal["ok", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        group: heading it stands under.
        name: what was checked.
        status: "broken" keeps graphrecall from working; "warning" may cause trouble later.
        detail: the finding, and what to do about it.
    """

    group: str
    name: str
    status: Status
    detail: str


def examine(*, runs: Path | None = None, text_model: str | None = None) -> list[Check]:
    """Run all checks.

    Args:
        runs: a runs folder, or one yet to be made, to test for permission to write and for free space.
        text_model: name or folder of the text model; None: the default one.
    """
    checks = [*_libraries(), *_devices(), *package_checks(), *_text_model(text_model)]
    if runs is not None:
        checks += runs_folder_checks(runs)
    return checks


def _libraries() -> Iterator[Check]:
    yield Check("libraries", "python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    try:
        requirements = distribution(DISTRIBUTION).requires or []
    except PackageNotFoundError:
        requirements = []
    for line in [DISTRIBUTION, *requirements]:
        requirement = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", line)
        if requirement is None or "extra ==" in line:
            continue
        name, least = requirement[1], requirement[2]
        try:
            installed = version(name)
        except PackageNotFoundError:
            yield Check("libraries", name, "broken", f"not installed: pip install {DISTRIBUTION}")
            continue
        if least and _numbers(installed) < _numbers(least):
            yield Check("libraries", name, "broken", f"{installed} is older than {least}: pip install -U {name}")
        else:
            yield Check("libraries", name, "ok", installed)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3])


def _devices() -> Iterator[Check]:
    import torch

    yield Check("devices", "cpu", "ok", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        why = "none is visible" if torch.version.cuda else "this torch is built without CUDA"
        yield Check("devices", "cuda", "ok", f"no: {why}; everything runs on the CPU")
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield Check("devices", f"cuda:{number}", "ok", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")


def package_checks(
    *,
    packages: Sequence[str] = PACKAGES,
    owner: str = DISTRIBUTION,
    working_folder: Path | None = None,
) -> Iterator[Check]:
    """Which distribution the import names belong to.

    A package is sound when Python finds it where the distribution put it, its files have the checksums that were
    installed, and no other distribution claims the name.

    Args:
        packages: import names.
        owner: the distribution they should belong to.
        working_folder: where Python is likely to be started; None: the current one.
    """
    group = "packages"
    try:
        owned: Distribution | None = distribution(owner)
    except PackageNotFoundError:
        owned = None
    claims = packages_distributions()
    for package in packages:
        spec = find_spec(package)
        if spec is None:
            yield Check(group, package, "broken", f"cannot be imported: pip install --force-reinstall {owner}")
            continue
        if spec.origin is None:
            places = ", ".join(spec.submodule_search_locations or [])
            yield Check(
                group,
                package,
                "broken",
                f"is an empty namespace at {places}, its __init__.py is gone: "
                f"uninstall what else installs {package!r}, then pip install --force-reinstall {owner}",
            )
            continue
        folder = Path(spec.origin).parent
        others = sorted({name for name in claims.get(package, []) if name.lower() != owner})
        if others:
            yield Check(
                group,
                package,
                "broken",
                f"{', '.join(others)} also installs a package {package!r}: keep them in separate environments, "
                f"then pip install --force-reinstall {owner}",
            )
        elif owned is None:
            yield Check(group, package, "warning", f"{folder}: a source tree, no distribution {owner} is installed")
        else:
            yield _ownership(owned, package, folder)
        here = (working_folder or Path.cwd()) / package
        if here.is_dir() and here.resolve() != folder.resolve():
            yield Check(
                group,
                package,
                "warning",
                f"the folder {here} hides it from a python started there: rename the folder or work elsewhere",
            )


def _ownership(owned: Distribution, package: str, folder: Path) -> Check:
    owner = owned.metadata["Name"]
    root = _editable_root(owned)
    if root is not None:
        if (root / package).resolve() == folder.resolve():
            return Check("packages", package, "ok", f"{folder} (editable install)")
        return Check(
            "packages",
            package,
            "broken",
            f"python imports {folder}, but {owner} is installed from {root}: see sys.path",
        )
    files = [file for file in owned.files or [] if file.parts[0] == package]
    first = next((file for file in files if file.parts == (package, "__init__.py")), None)
    if first is None:
        return Check("packages", package, "broken", f"{owner} is installed without it: pip install -U {owner}")
    if Path(str(owned.locate_file(first))).resolve().parent != folder.resolve():
        return Check(
            "packages",
            package,
            "broken",
            f"python imports {folder}, which {owner} did not install: something of that name comes first in sys.path",
        )
    changed = [str(file) for file in files if file.hash is not None and not _intact(owned, file)]
    if changed:
        return Check(
            "packages",
            package,
            "broken",
            f"{len(changed)} files are not the installed ones ({changed[0]}): pip install --force-reinstall {owner}",
        )
    return Check("packages", package, "ok", str(folder))


def _intact(owned: Distribution, file: Any) -> bool:
    path = Path(str(owned.locate_file(file)))
    if not path.is_file():
        return False
    digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == str(file.hash.value)


def _editable_root(owned: Distribution) -> Path | None:
    text = owned.read_text("direct_url.json")
    if text is None:
        return None
    facts = json.loads(text)
    if not facts.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(facts["url"]).path))


def runs_folder_checks(runs: Path) -> Iterator[Check]:
    """Whether runs can be written to a folder, and whether it has free space."""
    existing = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.exists())
    if not existing.is_dir():
        yield Check("runs folder", str(runs), "broken", f"{existing} is a file: name a folder")
        return
    if os.access(existing, os.W_OK | os.X_OK):
        yield Check("runs folder", str(runs), "ok", "can be written" if existing == runs.absolute() else "can be made")
    else:
        yield Check("runs folder", str(runs), "broken", f"no permission to write to {existing}")
    free = shutil.disk_usage(existing).free
    status: Status = "warning" if free < LOW_DISK else "ok"
    yield Check("runs folder", "free disk", status, f"{free / 1e9:.1f} GB")


def _text_model(name: str | None) -> Iterator[Check]:
    from gnn.text.model import TextConfig, find_model
    from kg.errors import GraphRecallError

    try:
        config = TextConfig() if name is None else TextConfig(model=name)
        files = find_model(config)
    except GraphRecallError as error:
        yield Check("text model", str(name), "broken", str(error))
        return
    status: Status = "ok" if files.ok else "warning" if files.source == "missing" else "broken"
    yield Check("text model", files.model, status, files.describe().removeprefix(f"{files.model}: "))
