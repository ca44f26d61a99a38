"""The reference and the JSON schema say all that a configuration file may hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from recall.config.deployment import load_config
from recall.config.reference import as_markdown, as_text, schema, sections

ROOT = Path(__file__).parents[3]
Command = Callable[..., tuple[int, str, str]]


def properties(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema, at any depth, with its place."""
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            yield f"{place}/{name}", field
        for name, inner in node.items():
            yield from properties(inner, f"{place}/{name}")
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from properties(inner, f"{place}/{number}")


def test_every_property_of_the_schema_has_a_description() -> None:
    whole = schema()
    found = list(properties(whole))
    assert len(found) > 250
    for place, field in found:
        target = whole["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
        description = field.get("description") or target.get("description", "")
        assert description.endswith((".", "`.")), place


def test_the_reference_lists_every_key() -> None:
    whole = schema()
    names = {
        place.rpartition("/")[2]
        for place, _ in properties({key: value for key, value in whole.items() if key != "properties"})
        if "/TuneSettings/properties/channels/" not in place
    }
    listed = sections()
    keys = {entry.key for section in listed for entry in section.entries}
    headers = {part for section in listed for part in re.findall(r"\w+", section.header)}
    assert names <= keys | headers
    assert set(whole["properties"]) <= keys | headers
    assert {"[channels.lightgcn.training]", "[[sources.rdf]]", "[graph.nodes.NAME]", "[gate.full]"} <= {
        section.header for section in listed
    }
    assert all(entry.description and entry.type for section in listed for entry in section.entries)


def test_defaults_are_toml_and_ranges_are_words() -> None:
    (training,) = (one for one in sections() if one.header == "[channels.lightgcn.training]")
    entries = {entry.key: entry for entry in training.entries}
    assert entries["loss"].type == '"softmax" or "bpr"'
    assert entries["node_dropout"].type == "number, at least 0 and below 1"
    assert entries["priors"].type == "list of number, above 0"
    assert entries["max_steps"].default == "240"
    for section in sections():
        for entry in section.entries:
            if entry.default not in ("", "required"):
                tomllib.loads(f"x = {entry.default}")


def test_the_page_of_the_documentation_is_the_reference_of_this_code() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == as_markdown(), "graphrecall config reference --format markdown writes it"


def test_the_commands_print_both(command: Command) -> None:
    assert command("config", "reference") == (0, as_text(), "")
    assert command("config", "reference", "--format", "markdown") == (0, as_markdown(), "")
    code, out, _ = command("config", "schema")
    assert code == 0
    assert json.loads(out) == schema()


def test_the_examples_hold_no_key_that_the_reference_lacks() -> None:
    for file in (ROOT / "examples" / "movies").glob("*.toml"):
        load_config(file)


def test_a_configuration_is_read_without_torch() -> None:
    program = (
        "import sys; from recall.config.deployment import load_config; load_config(sys.argv[1]); "
        "print(sorted({'torch', 'transformers', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "examples" / "movies" / "demo.toml")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[]"
