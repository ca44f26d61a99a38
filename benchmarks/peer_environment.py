"""Environments of the peers: each has libraries that graphrecall does not want, in versions of their own."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

from kg.io.files import checksum, write_text

HERE = Path(__file__).parent / "peers"


def environment(name: str) -> Path:
    """The Python of an environment, which is made when it is missing or its requirements changed.

    Args:
        name: of the file with its requirements, `peers/NAME.txt`.
    """
    wanted, folder = HERE / f"{name}.txt", Path(".cache") / "peers" / name
    python, stamp = folder.absolute() / "bin" / "python", folder / "requirements.sha256"
    if not stamp.exists() or stamp.read_text().strip() != checksum(wanted):
        print(f"installing the peers into {folder}, some 5 GB")
        if not python.exists():
            venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", wanted], check=True)
        write_text(stamp, checksum(wanted) + "\n")
    return python


def run_peer(python: Path, script: str, folder: Path, *, threads: int, **options: object) -> None:
    """Run a script of a peer in a folder, with options in words, on so many threads.

    Raises:
        SystemExit: it failed; its last words are the message.
    """
    arguments = [str(word) for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    words = [python, "-W", "ignore", (HERE / script).absolute(), "--threads", str(threads), *arguments]
    done = subprocess.run(words, cwd=folder, env={**os.environ, **limits}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{script} failed with {arguments}:\n{done.stderr[-3000:]}")
