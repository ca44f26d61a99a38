"""What a soak has tried so far: one JSON line an attempt, so that one that was cut off goes on."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

STATE = Path(os.environ.get("GRAPHRECALL_SOAK", Path(__file__).parent.parent.parent / ".cache" / "soak"))


class Journal:
    """The attempts of one experiment.

    Attributes:
        file: JSON lines; a half-written last one is dropped.
        lines: what they say.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: list[dict[str, Any]] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            text = file.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            self.lines = [json.loads(line) for line in whole.splitlines()]
            if whole != text:
                file.write_text(whole, encoding="utf-8")

    def add(self, **facts: Any) -> None:
        """Keep an attempt."""
        self.lines.append(facts)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(facts) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The attempts of a kind."""
        return [line for line in self.lines if line["kind"] == kind]

    def count(self, kind: str, by: str) -> Counter[str]:
        """How many attempts of a kind there are, by one of their facts."""
        return Counter(str(line[by]) for line in self.of(kind))

    def problems(self) -> list[str]:
        """What went wrong, whenever."""
        return [problem for line in self.lines for problem in line.get("problems", ())]


def histogram(counts: Counter[str]) -> str:
    """A bar a row."""
    widest = max((len(name) for name in counts), default=0)
    return "\n".join(f"{name:<{widest}}  {count:>4}  {'#' * count}" for name, count in counts.most_common())
