"""Write the numbers of the documentation from the result files: `python -m benchmarks numbers [--check]`.

`docs/numbers.md` is made whole from a template, and each part of the README and of `docs/batch.md` between
`<!-- numbers: NAME -->` and `<!-- /numbers -->` from the block NAME of the page's own. The templates hold prose and
expressions on the files of `benchmarks/results`, and no number. A remark that compares is checked against the files
when it is written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from benchmarks import results
from kg.io.files import read_json, write_text

ROOT = Path(__file__).parent.parent
TEMPLATES = Path(__file__).parent / "templates"
PART = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- /numbers -->)", flags=re.DOTALL)


class Results(Mapping[str, Any]):
    """The result files of a folder by name, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._read:
            path = self.folder / f"{name}.json"
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path} is missing: run the benchmark that writes it, see python -m benchmarks -h"
                )
            self._read[name] = read_json(path)
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return (self.folder / f"{name}.json").is_file()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.json")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks numbers", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a page is not as the results say"
    )
    options = parser.parse_args(arguments)
    different = {path: text for path, text in pages().items() if not path.is_file() or path.read_text("utf-8") != text}
    for path, text in different.items():
        if options.check:
            print(f"{path} is not what benchmarks/results gives: run python -m benchmarks numbers", file=sys.stderr)
        else:
            write_text(path, text)
            print(f"written: {path}")
    if options.check and different:
        sys.exit(1)


def pages() -> dict[Path, str]:
    """Path -> the text that the results give, for each page that shows numbers."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown, from our own files
    )
    environment.filters.update(fraction=fraction, count=count, percent=percent, milliseconds=milliseconds)
    environment.globals.update(
        results=Results(results.FOLDER),
        row=row,
        rows=rows,
        minus=minus,
        claim=claim,
        measured=measured,
        interval=interval,
    )
    made = {
        ROOT / "docs" / "numbers.md": re.sub(r"\n{3,}", "\n\n", environment.get_template("numbers.md.jinja").render())
    }
    for page in (ROOT / "README.md", ROOT / "docs" / "batch.md"):
        made[page] = fill(page.read_text("utf-8"), environment.get_template(f"{page.stem.lower()}.md.jinja"))
    return made


def fill(page: str, template: Template) -> str:
    """The page with each marked part replaced by the template's block of that name."""

    def part(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        if name not in template.blocks:
            raise LookupError(f"{template.name} has no block {name!r}")
        return begin + "".join(template.blocks[name](template.new_context())) + end

    return PART.sub(part, page)


def rows(result: Mapping[str, Any], **where: Any) -> list[Mapping[str, Any]]:
    """The rows with these values, in the order of the file."""
    return [entry for entry in result["rows"] if all(entry.get(key) == value for key, value in where.items())]


def row(result: Mapping[str, Any], **where: Any) -> Mapping[str, Any]:
    """The only row with these values.

    Raises:
        LookupError: none has them, or several.
    """
    matching = rows(result, **where)
    if len(matching) != 1:
        raise LookupError(f"{result['benchmark']}.json: {len(matching)} rows have {where}, one is needed")
    return matching[0]


def minus(result: Mapping[str, Any], first: str, second: str, **where: Any) -> Mapping[str, Any]:
    """The row of the paired difference of two models."""
    return row(result, model=f"{first} minus {second}", **where)


def claim(holds: bool, statement: str) -> str:
    """Nothing, where the results show what the prose says.

    Raises:
        ValueError: they do not.
    """
    if not holds:
        raise ValueError(f"the results no longer show that {statement}: change the template in {TEMPLATES}")
    return ""


def fraction(value: float, digits: int = 3) -> str:
    """A number with so many decimals, and without the zero before the point: .158."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.{digits}f}")


def count(value: float) -> str:
    """A whole number with commas: 131,072."""
    return f"{value:,.0f}"


def percent(value: float, digits: int = 0) -> str:
    """A share as a percentage: 12%."""
    return f"{value:.{digits}%}"


def milliseconds(value: float) -> str:
    """A time in milliseconds, with one decimal."""
    return f"{value:.1f}"


def interval(bounds: Sequence[float], digits: int = 3) -> str:
    """The bounds of an interval: .152 to .173."""
    low, high = bounds
    return f"{fraction(low, digits)} to {fraction(high, digits)}"


def measured(entry: Mapping[str, Any], metric: str, digits: int = 3) -> str:
    """A metric with its spread over seeds and its interval, as far as the row has them; empty where it has no value."""
    if metric not in entry:
        return ""
    text = fraction(entry[metric], digits)
    if f"{metric} spread" in entry:
        text += f" ± {fraction(entry[f'{metric} spread'], digits)}"
    if f"{metric} interval" in entry:
        text += f" ({interval(entry[f'{metric} interval'], digits)})"
    return text
