"""Run the notebooks and keep their outputs: `python notebooks/run.py [NAME...]`.

Times of execution, versions, warnings and widgets, which are drawn in a running notebook only, are left out, so that a
second run changes no more than the results do. Images are kept with few colours: a third of the bytes.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent
CELL_SECONDS = 3600
COLOURS = 64
WIDGET = "application/vnd.jupyter.widget-view+json"


def main() -> None:
    """Run the named notebooks, or all of them, and write them with their outputs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="files, by default all")
    names = parser.parse_args().names
    for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
        print(f"running {path.name} ...")
        nbformat.write(executed(path), path)


def executed(path: Path) -> Any:
    """The notebook with the outputs of a run in a folder of its own, and nothing that is of this run alone."""
    notebook = nbformat.read(path, as_version=4)
    path_of_packages = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(PYTHONPATH=path_of_packages, IPYTHONDIR=folder)
        resources = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources).execute()
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.pop("metadata", None)
                if output.output_type in ("display_data", "execute_result"):
                    output["metadata"] = {}
                    output.data.pop(WIDGET, None)
                    if "image/png" in output.data:
                        output.data["image/png"] = small(output.data["image/png"])
    return notebook


def small(png: str) -> str:
    """An image, base64, with as many colours as drawings need."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    image.save(packed, "PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode() + "\n"


if __name__ == "__main__":
    main()
