"""The one module that writes files: whole or not at all.

Single files go to a temporary name beside the target, are flushed to disk and renamed. Folders are built in a staging
folder, flushed, given a manifest, and renamed into place. What a killed writer leaves has a name that nothing reads
(`kg.io.removal` removes it). Checksums detect damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kg.errors import ArtifactError

MANIFEST = "MANIFEST.json"
FORMAT_VERSION = 2
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.work)?")


def temporary_beside(target: Path) -> Path:
    """A free name in the target's folder, hidden, for what is not finished or not wanted any more."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it is flushed and renamed to `target`.

    After an exception the temporary file is removed and the old target is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        yield temporary
        fsync(temporary)
        temporary.replace(target)
        fsync(target.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_text(target: Path, text: str) -> None:
    """Write a small text file atomically, UTF-8."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, data: Any) -> None:
    """Write JSON atomically, keys in the given order, NaN refused."""
    write_text(target, _json_text(data))


def _json_text(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ArtifactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or a number of too many digits
        raise ArtifactError(f"{path} is damaged: {error}") from error


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is never written again a second name; a copy where the file system has no links.

    The caller flushes the folder of the target.
    """
    try:
        target.hardlink_to(source)
    except OSError:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


def fsync(path: Path) -> None:
    """Flush a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and the folder itself."""
    for path in sorted(folder.rglob("*")):
        fsync(path)
    fsync(folder)


def checksum(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """Write MANIFEST.json: format version, `facts`, a checksum a file, and the digest of the manifest itself."""
    files = {
        str(path.relative_to(folder)): checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
    body = {"format_version": FORMAT_VERSION, **facts, "files": files}
    write_json(folder / MANIFEST, {**body, "digest": digest(body)})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read MANIFEST.json, and make sure that it is the very one that was written.

    Raises:
        ArtifactError: it is missing or changed, or the format version is another.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{folder / MANIFEST} is damaged: it holds no object")
    body = {key: value for key, value in manifest.items() if key != "digest"}
    # A flipped byte can leave the meaning as it was (1e-05 becomes 1E-05), so the text has to be the very one written.
    # The digest comes first: a flipped byte can make a number infinite, which nobody writes.
    if digest(body) != manifest.get("digest") or (folder / MANIFEST).read_bytes() != _json_text(manifest).encode():
        raise ArtifactError(f"{folder / MANIFEST} is damaged: its own digest does not match")
    check_format(manifest, folder)
    if not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{folder / MANIFEST} is damaged: it lists no files")
    return manifest


def listed_checksum(folder: Path, file: Path) -> str | None:
    """The checksum that the manifest of a folder has for one file; None where neither has the file.

    Raises:
        ArtifactError: the manifest is missing or damaged, or only one of the two has the file.
    """
    name = str(file.relative_to(folder))
    if file.exists() and file.resolve() != folder.resolve() / name:
        raise _linked(folder, name)
    checksum_there = read_manifest(folder)["files"].get(name)
    if checksum_there is None and file.exists():
        raise ArtifactError(f"{folder} holds files its manifest does not list: {name}")
    if checksum_there is not None and not file.is_file():
        raise ArtifactError(f"{folder} is incomplete: {name} missing")
    return None if checksum_there is None else str(checksum_there)


def verify_file(folder: Path, file: Path) -> None:
    """Compare one file of a folder with its manifest, for who reads only that one.

    Raises:
        ArtifactError: as `listed_checksum`, or the file is changed.
    """
    expected = listed_checksum(folder, file)
    if expected is not None and checksum(file) != expected:
        raise changed_file(file)


def _linked(folder: Path, name: str) -> ArtifactError:
    """The error of a folder that leads out of itself; what is listed could be any file of the machine."""
    return ArtifactError(f"{folder} holds a link, {name}: a published folder holds files of its own and nothing else")


def changed_file(file: Path) -> ArtifactError:
    """The error of a file whose checksum is not the one that was written down."""
    return ArtifactError(f"{file} is damaged: its checksum differs from the manifest's")


def verify_manifest(folder: Path) -> dict[str, Any]:
    """Read MANIFEST.json and compare every checksum.

    Returns:
        The manifest.

    Raises:
        ArtifactError: the manifest or a file is missing, changed or unlisted, or the format version is another.
    """
    manifest = read_manifest(folder)
    if links := sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink()):
        raise _linked(folder, links[0])
    present = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() and path.relative_to(folder) != Path(MANIFEST)
    }
    listed = manifest["files"]
    if missing := sorted(set(listed) - present):
        raise ArtifactError(f"{folder} is incomplete: {', '.join(missing)} missing")
    if unlisted := sorted(present - set(listed)):
        raise ArtifactError(f"{folder} holds files its manifest does not list: {', '.join(unlisted)}")
    for name, expected in listed.items():
        if checksum(folder / name) != expected:
            raise changed_file(folder / name)
    return manifest


def check_format(manifest: dict[str, Any], folder: Path) -> None:
    """Make sure that a folder is of the format version of this library.

    Raises:
        ArtifactError: it is of another; the message says how to make the run anew.
    """
    version = manifest.get("format_version")
    if version is None:
        raise ArtifactError(f"{folder / MANIFEST} is damaged: it has no format version")
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} is of format version {version}, this graphrecall reads {FORMAT_VERSION}: make a new run with "
            "`graphrecall refresh CONFIG.toml`"
        )


def digest(body: dict[str, Any]) -> str:
    """sha256 of plain JSON data, whatever the order of its keys, hex."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def publish_folder(staging: Path, target: Path) -> None:
    """Flush a finished staging folder to disk and rename it to `target`, which must not exist."""
    fsync_tree(staging)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise ArtifactError(f"{target} exists already; a published folder is never replaced")
    staging.rename(target)
    fsync(target.parent)


def switch_link(link: Path, target: Path) -> None:
    """Point a symbolic link at a sibling folder, atomically: readers see the old or the new one, never none."""
    temporary = temporary_beside(link)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    try:
        temporary.replace(link)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    fsync(link.parent)
