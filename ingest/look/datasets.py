"""Published data sets, told by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ingest.assemble.findings import grades, has_low_grades, kept_by, rule_for
from ingest.look.proposal import Proposal, Section
from ingest.settings import DatasetFormat
from ingest.sources.formats import READERS, DatasetFiles, InteractionsPart, Roles
from ingest.sources.tables import to_floats
from kg.errors import InvalidDataError

NAMES: dict[DatasetFormat, str] = {
    "recbole": r".*\.inter",
    "kgat": r"kg_final\.txt",
    "lastfm": r"user_artists\.dat",
    "movielens": r"u\.data|ratings\.dat",
    "amazon": r"meta_.*\.jsonl?",
}
LATER_MOVIELENS = {"ratings.csv", "movies.csv", "tags.csv", "links.csv", "genome-scores.csv", "genome-tags.csv"}
ITEMS: dict[DatasetFormat, str] = {"movielens": "movie", "lastfm": "artist", "amazon": "product"}


def format_of_names(names: Sequence[str]) -> DatasetFormat | None:
    """The format whose files these are, by the name that gives it away; None where none does."""
    plain = [name.lower().removesuffix(".gz") for name in names]
    if {"ratings.csv", "movies.csv"} <= set(plain) <= LATER_MOVIELENS and len(plain) > 2:
        return "movielens"
    return next(
        (format for format, pattern in NAMES.items() if any(re.fullmatch(pattern, name) for name in plain)), None
    )


def propose_dataset(files: Sequence[tuple[str, Path]], format: DatasetFormat) -> Proposal:
    """A configuration of one entry, with the rule for positives and the split that its interactions ask for.

    Raises:
        InvalidDataError: the files are not in that format.
    """
    item = ITEMS.get(format, "item")
    graph = Section("graph", {"user": "user", "item": item}, "what is recommended to whom")
    proposal = Proposal([graph])
    dataset = DatasetFiles(dict(files), format)
    parts = list(READERS[format](dataset, Roles(user="user", item=item, relation="rated")))
    acts = [part for part in parts if isinstance(part, InteractionsPart)]
    if not acts:
        raise InvalidDataError(f"the files hold no interactions in the format {format}")
    doubts = [f"not read: {name}" for name in dataset.unused]
    proposal.add(
        "sources.datasets",
        {"format": format, "files": [name for name, _ in files if name not in dataset.unused]},
        f"a data set in the format {format}",
        doubts,
        is_list=True,
    )
    rated = [part.rows.table[part.columns.rating] for part in acts if part.columns.rating is not None]
    if rated:
        counts = grades(pa.chunked_array([pa.array(to_floats(column)[0]) for column in rated]))
        add_rule(proposal, counts)
    if all(part.part is not None for part in acts):
        proposal.add("split", {"kind": "files"}, "the data set names its parts", is_list=False)
    elif any(part.columns.timestamp is None for part in acts):
        proposal.add("split", {"kind": "random"}, "there are no times", is_list=False)
    return proposal


def add_rule(proposal: Proposal, counts: dict[float, int]) -> None:
    """A rule for positives where ratings are grades, and what other rules would keep."""
    if len(counts) < 2 or len(counts) > 21:
        return
    proposal.rules = {f"rating >= {value:g}": kept_by(counts, f"rating >= {value:g}") for value in counts}
    if has_low_grades(counts) or min(counts) <= 0:
        rule = rule_for(counts)
        proposal.graph.keys["positive"] = rule
        proposal.graph.doubts.append(
            f"{rule} as what counts as liked is a guess: it keeps {proposal.rules[rule]:,} of {sum(counts.values()):,} "
            f"ratings from {min(counts):g} to {max(counts):g}"
        )
