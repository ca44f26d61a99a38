"""The one module that writes files: whole or not at all.

Single files go to a temporary name beside the target, are flushed to disk and renamed. Folders are built in a staging
folder, flushed, given a manifest, and renamed into place. Checksums detect damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kg.errors import ArtifactError

MANIFEST = "MANIFEST.json"
FORMAT_VERSION = 1


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; on success it is flushed and renamed to `target`.

    After an exception the temporary file is removed and the old target is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
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
    write_text(target, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ArtifactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


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


def verify_manifest(folder: Path) -> dict[str, Any]:
    """Read MANIFEST.json and compare every checksum.

    Returns:
        The manifest.

    Raises:
        ArtifactError: the manifest or a file is missing, changed or unlisted, or the format version is another.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{folder / MANIFEST} is damaged: it holds no object")
    body = {key: value for key, value in manifest.items() if key != "digest"}
    if digest(body) != manifest.get("digest"):
        raise ArtifactError(f"{folder / MANIFEST} is damaged: its own digest does not match")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} has format version {manifest.get('format_version')}, this graphrecall reads {FORMAT_VERSION}: "
            "run the refresh again with this version"
        )
    present = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_dir() and path.relative_to(folder) != Path(MANIFEST)
    }
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise ArtifactError(f"{folder / MANIFEST} is damaged: it lists no files")
    if missing := sorted(set(listed) - present):
        raise ArtifactError(f"{folder} is incomplete: {', '.join(missing)} missing")
    if unlisted := sorted(present - set(listed)):
        raise ArtifactError(f"{folder} holds files its manifest does not list: {', '.join(unlisted)}")
    for name, expected in listed.items():
        if checksum(folder / name) != expected:
            raise ArtifactError(f"{folder / name} is damaged: its checksum differs from the manifest's")
    return manifest


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
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(4)}.tmp")
    temporary.symlink_to(os.path.relpath(target, link.parent))
    try:
        temporary.replace(link)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    fsync(link.parent)


def remove_trees(folders: Iterable[Path]) -> None:
    """Remove folders and what is in them; missing ones are fine."""
    for folder in folders:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)
