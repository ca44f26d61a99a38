"""The report of reading the sources: how much was read, what was set aside and why, and what looks odd.

Nothing is dropped in silence: whatever a reader leaves out is counted here with examples, and too much of it is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Literal

from kg.errors import InvalidDataError

Severity = Literal["info", "warning"]
MAX_EXAMPLES = 5
_QUOTED = re.compile(r"(.+?(?::\d+|, row \d+)): .+", re.DOTALL)  # a place, and what stands there


@dataclass(slots=True)
class SourceAccount:
    """One source and how much of it was used.

    Attributes:
        name: file name or description of the frame.
        kind: "rdf", "interactions", "events", "attributes" or "edges".
        read: statements or rows found.
        set_aside: of these, how many were left out as unusable.
        lines: of a text file, the empty ones among them; None for other sources.
        empty: how many of these are empty.
    """

    name: str
    kind: str
    read: int = 0
    set_aside: int = 0
    lines: int | None = None
    empty: int = 0
    _why: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def reasons(self) -> str:
        """Why rows were left out, for a message."""
        return "; ".join(f"{kind}: {count} ({example})" for kind, (count, example) in self._why.items())

    @property
    def kinds(self) -> str:
        """Why rows were left out, without an example."""
        return "; ".join(f"{kind}: {count}" for kind, (count, _) in self._why.items())

    def to_json(self) -> dict[str, Any]:
        """Plain data for report.json."""
        lines = {} if self.lines is None else {"lines": self.lines, "empty": self.empty}
        return {"name": self.name, "kind": self.kind, "read": self.read, "set_aside": self.set_aside, **lines}

    def leave_out(self, kind: str, count: int, example: str) -> None:
        """Count rows that were left out."""
        self.set_aside += count
        before, first = self._why.get(kind, (0, example))
        self._why[kind] = (before + count, first)


@dataclass(slots=True)
class Finding:
    """One kind of oddity.

    Attributes:
        kind: short stable name, "duplicate interactions".
        severity: "warning" when data was left out or is probably wrong, else "info".
        count: how often.
        explanation: what was done about it.
        examples: up to five, each with file and line if it has one.
    """

    kind: str
    severity: Severity
    count: int = 0
    explanation: str = ""
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMatch:
    """The ids of one source beside those of the others.

    Attributes:
        node: node type.
        source, kind: of the ids, as in `SourceAccount`.
        others: what they are compared with, for a person.
        ids, other_ids: how many different ones each side has.
        shared: how many of them are the same.
        examples, other_examples: ids that only one side has; empty where they must not be shown.
        advice: what to write so that more fit, and the share that would: lines of a configuration, the best first.
    """

    node: str
    source: str
    kind: str
    others: str
    ids: int
    other_ids: int
    shared: int
    examples: tuple[str, ...] = ()
    other_examples: tuple[str, ...] = ()
    advice: tuple[tuple[str, float], ...] = ()

    @property
    def share(self) -> float:
        """The shared ids as a share of the smaller side."""
        return self.shared / max(min(self.ids, self.other_ids), 1)

    def to_text(self) -> str:
        """The match in a sentence, with the help that there is."""
        text = (
            f"{self.source} has no {self.node} nodes"
            if not self.ids
            else (
                f"{self.shared:,} of the {self.ids:,} ids of {self.node} nodes in {self.source} are among the "
                f"{self.other_ids:,} of {self.others} ({self.share:.0%})"
            )
        )
        if self.examples and self.other_examples:
            text += f"; there {', '.join(map(repr, self.examples))}, here {', '.join(map(repr, self.other_examples))}"
        for line, share in self.advice:
            text += f". Write {line} ({share:.0%} would fit)"
        return text


class QualityReport:
    """Counts by source and findings by kind.

    Attributes:
        sources: in the order of the configuration.
        findings: by kind.
        counts: nodes by type and edges by relation of the graph that was built.
        matches: how well the ids of the sources fit together.
        matures: UTC seconds of the earliest time that was set aside as one of the future; None when there was none.
    """

    def __init__(self) -> None:
        self.sources: list[SourceAccount] = []
        self.findings: dict[str, Finding] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.matches: list[IdMatch] = []
        self.matures: int | None = None

    def source(self, name: str, kind: str) -> SourceAccount:
        """Open the account of one more source."""
        self.sources.append(SourceAccount(name, kind))
        return self.sources[-1]

    def add(
        self, kind: str, count: int, explanation: str, examples: Iterable[str] = (), *, severity: Severity = "info"
    ) -> None:
        """Count `count` more of a kind; nothing happens when it is 0."""
        if not count:
            return
        finding = self.findings.setdefault(kind, Finding(kind, severity, 0, explanation))
        finding.count += count
        for example in examples:
            if len(finding.examples) < MAX_EXAMPLES and example not in finding.examples:
                finding.examples.append(example)

    def set_aside(
        self, source: SourceAccount, kind: str, count: int, explanation: str, examples: Iterable[str] = ()
    ) -> None:
        """Count rows or statements of a source that were left out."""
        examples = list(examples)
        source.leave_out(kind, count, f"{explanation}; {examples[0]}" if examples else explanation)
        self.add(kind, count, explanation, examples, severity="warning")

    def set_future(self, seconds: int) -> None:
        """Note a time that lies in the future: from then on the sources give another graph."""
        self.matures = seconds if self.matures is None else min(self.matures, seconds)

    def check_limit(self, source: SourceAccount, limit: float) -> None:
        """Refuse a source of which too much was set aside.

        Raises:
            InvalidDataError: the share is above `limit` (the key `quality.max_set_aside`).
        """
        if source.set_aside and source.set_aside > limit * source.read:
            count = f"{source.set_aside} of {source.read} ({source.set_aside / source.read:.0%})"
            problem = f"{source.name}: {count} cannot be used, more than quality.max_set_aside = {limit:g} allows"
            advice = "Mend the source or raise the limit"
            raise InvalidDataError(
                f"{problem}: {source.reasons}. {advice}", unquoted=f"{problem}: {source.kinds}. {advice}"
            )

    def unquote(self, is_private: Callable[[str], bool]) -> None:
        """Remove private examples from every finding so far; the counts stay."""
        for finding in self.findings.values():
            finding.examples = [example for example in finding.examples if not is_private(example)]

    def keep_places(self) -> None:
        """Leave of each example with a file and a line these alone: its row may be of somebody it does not name."""
        for finding in self.findings.values():
            finding.examples = [_QUOTED.sub(r"\1", example) for example in finding.examples]

    @property
    def warnings(self) -> list[Finding]:
        """Findings that left data out or point at mistakes."""
        return [finding for finding in self.findings.values() if finding.severity == "warning"]

    def to_json(self) -> dict[str, Any]:
        """Plain data for report.json, findings ordered by kind."""
        return {
            "sources": [source.to_json() for source in self.sources],
            "findings": [
                {
                    "kind": f.kind,
                    "severity": f.severity,
                    "count": f.count,
                    "explanation": f.explanation,
                    "examples": list(f.examples),
                }
                for _, f in sorted(self.findings.items())
            ],
            "graph": self.counts,
            "matures": self.matures,
        }

    def to_text(self) -> str:
        """The report for a person, plain text."""
        lines = []
        for source in self.sources:
            aside = f", {source.set_aside:,} set aside" if source.set_aside else ""
            lines.append(f"{source.name} ({source.kind}): {source.read:,} read{aside}")
        for title, counts in self.counts.items():
            lines.append(f"{title}: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
        for finding in sorted(self.findings.values(), key=lambda f: (f.severity != "warning", f.kind)):
            lines.append(f"{finding.severity}: {finding.kind}: {finding.count:,}, {finding.explanation}")
            lines.extend(f"    {example}" for example in finding.examples)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()


def first_examples(examples: Iterable[str]) -> list[str]:
    """The first examples in order, so that which ones are shown does not depend on the order of the facts."""
    return nsmallest(MAX_EXAMPLES, examples)
