"""`gnn` trains on a machine that has torch, PyG and pydantic, and none of the libraries of the other packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib
import importlib.abc
import pkgutil
import sys

BLOCKED = {"faiss", "rdflib", "pyoxigraph", "neo4j", "ladybug", "typer", "rich", "filelock"}


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not on this machine", name=name)
        return None


sys.meta_path.insert(0, Blocker())
import gnn

for module in pkgutil.iter_modules(gnn.__path__):
    importlib.import_module("gnn." + module.name)
print(sorted(BLOCKED & set(sys.modules)))
"""


def test_every_module_imports_with_the_others_blocked() -> None:
    root = Path(__file__).parent.parent.parent
    program = f"import sys; sys.path.insert(0, {str(root)!r})\n" + PROGRAM
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")
