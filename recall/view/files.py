"""The files that draw candidates and reasons in a browser: those shared by all, and those of the view in a notebook."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

STYLE = "style.css"
STYLE_MODULE = "style.js"  # exists in notebooks only: the style as text
_IMPORT = re.compile(r'(?:from|import\()\s*"\./([^"]+)"')


def read_files(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    """The files of a folder and of those in it, by their path from it."""
    content: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            content |= read_files(entry, f"{prefix}{entry.name}/")
        else:
            content[f"{prefix}{entry.name}"] = entry.read_bytes()
    return content


def shared_files() -> dict[str, bytes]:
    """The files that the page and notebooks share, `vendor/cytoscape.esm.min.mjs`, by name."""
    return read_files(files("recall.view") / "static")


@lru_cache(maxsize=1)
def notebook_module() -> str:
    """The view of a notebook as one module.

    A notebook runs a module that cannot import others by name. So this one carries the texts of all that are needed,
    and gives each an address in the browser (a Blob URL) before those that import it; nothing is loaded from elsewhere.
    """
    own = read_files(files("recall.view") / "notebook")
    texts = {name: content.decode() for name, content in {**shared_files(), **own}.items() if name != "README.md"}
    texts[STYLE_MODULE] = f"export default {json.dumps(texts[STYLE])};"
    order = _in_order("notebook.js", texts)
    modules = json.dumps({name: texts[name] for name in order})
    return _LOADER.replace("MODULES", modules)


def imports_of(text: str) -> list[str]:
    """The names of the modules beside it that a module imports."""
    return _IMPORT.findall(text)


def _in_order(entry: str, texts: Mapping[str, str]) -> list[str]:
    """The names of a module and of all that it needs, each behind what it imports."""
    order: list[str] = []

    def add(name: str) -> None:
        if name not in order:
            for needed in imports_of(texts[name]):
                add(needed)
            order.append(name)

    add(entry)
    return order


_LOADER = r"""// The view of candidates and reasons, with all modules that it is made of.
const modules = MODULES;
export default async () => {
  const addresses = {};
  for (const [name, text] of Object.entries(modules)) {
    const placed = text.replace(
      /((?:from|import\()\s*)"\.\/([^"]+)"/g,
      (_, start, needed) => `${start}"${addresses[needed]}"`,
    );
    addresses[name] = URL.createObjectURL(new Blob([placed], { type: "text/javascript" }));
  }
  return (await import(Object.values(addresses).at(-1))).default;
};
"""
