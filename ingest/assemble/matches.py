"""Do the sources mean the same nodes? The ids of each beside those of the others.

A graph whose ids match none of the ratings would train, and recommend, without any knowledge. What users did is what
the others are compared with; where nothing was done (genres, people) it is what describes the nodes. The share is
counted in the smaller of two sets, because a catalogue may be larger than what was rated, and a table of awards
smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.id_forms import advice
from ingest.facts import Mention
from ingest.people import People
from ingest.report import IdMatch, QualityReport
from ingest.settings import GraphSettings
from kg.errors import InvalidDataError

DESCRIBING = ("attributes", "rdf", "neo4j")
EXAMPLES = 3
GOOD = 0.9  # from this share on nobody is told what to write, and looking for it would cost time in every refresh


def id_matches(mentions: Sequence[Mention], settings: GraphSettings, people: People | None = None) -> list[IdMatch]:
    """The ids of each source beside those of the others, where there is something to compare.

    Args:
        mentions: of all sources.
        settings: roles.
        people: users who must not be named; None: everybody may be.
    """
    matches = []
    for node in dict.fromkeys(mention.node for mention in mentions):
        of_type = [mention for mention in mentions if mention.node == node]
        is_private = people is not None and node == settings.user
        acts = [mention for mention in of_type if mention.kind == "interactions"]
        descriptions = [mention for mention in of_type if mention.kind in DESCRIBING]
        others = [mention for mention in of_type if mention.kind in ("edges", "events")]
        if acts:
            matches += [_match(mention, acts, "the interactions", is_private) for mention in descriptions]
        references = [*acts, *descriptions]
        names = " and ".join(["the interactions"] * bool(acts) + ["the descriptions"] * bool(descriptions))
        if references:
            matches += [_match(mention, references, names, is_private) for mention in others]
    return [*matches, *_types_instead_of_items(mentions, settings)]


def check_matches(matches: Sequence[IdMatch], report: QualityReport, *, limit: float) -> None:
    """Refuse sources that mean other nodes.

    A table of items that nobody touched yet shares none with the interactions and is fine beside one that does; it is
    only counted.

    Args:
        matches: what `id_matches` gives.
        report: findings.
        limit: smallest share (the key `quality.min_match`).

    Raises:
        InvalidDataError: a source shares less, and no other one of its kind describes the nodes.
    """
    below = [match for match in matches if match.share < limit]
    for match in below:
        same = [other for other in matches if other.node == match.node and (other.kind in DESCRIBING)]
        if match.kind in DESCRIBING and any(other.share >= limit for other in same):
            report.add(
                "sources that match nothing",
                1,
                "their nodes are not those of the interactions; kept",
                [match.to_text()],
                severity="warning",
            )
            continue
        raise InvalidDataError(
            f"the ids do not match: {match.to_text()}. If they are right so, lower quality.min_match = {limit:g}"
        )


def _types_instead_of_items(mentions: Sequence[Mention], settings: GraphSettings) -> list[IdMatch]:
    """Where graphs say much, but nothing of items: the items may have another name there."""
    items = [mention for mention in mentions if mention.node == settings.item]
    acts = [mention for mention in items if mention.kind == "interactions"]
    graphs = [mention for mention in mentions if mention.kind in ("rdf", "neo4j") and mention.node != settings.user]
    if not acts or not graphs or len(acts) < len(items):
        return []
    ids = unique([mention.ids for mention in acts])
    named = {mention.node: mention for mention in graphs}
    lines = []
    for node, mention in named.items():
        share = pc.sum(pc.is_in(ids, value_set=unique([mention.ids]))).as_py() / max(len(ids), 1)
        best = max([("", share), *advice(mention, acts, unique([mention.ids]), ids, 0.0)], key=lambda line: line[1])
        if best[1] > 0:
            lines.append((f'graph.item = "{node}"' + f" and {best[0]}" * bool(best[0]), best[1]))
    return [
        IdMatch(
            node=settings.item,
            source=", ".join(sorted({mention.source for mention in graphs})),
            kind="rdf",
            others="the interactions",
            ids=0,
            other_ids=len(ids),
            shared=0,
            examples=tuple(f"{node} {_examples(unique([mention.ids]))[0]}" for node, mention in named.items())[
                :EXAMPLES
            ],
            other_examples=_examples(ids),
            advice=tuple(sorted(lines, key=lambda line: -line[1])[:1]),
        )
    ]


def _match(mention: Mention, references: Sequence[Mention], others: str, is_private: bool) -> IdMatch:
    ids, other_ids = unique([mention.ids]), unique([reference.ids for reference in references])
    is_shared = pc.is_in(ids, value_set=other_ids)
    shared = pc.sum(is_shared).as_py() or 0
    match = IdMatch(
        node=mention.node,
        source=mention.source,
        kind=mention.kind,
        others=others,
        ids=len(ids),
        other_ids=len(other_ids),
        shared=shared,
    )
    if is_private or match.share >= GOOD:
        return match
    only_other = other_ids.filter(pc.invert(pc.is_in(other_ids, value_set=ids)))
    return IdMatch(
        node=match.node,
        source=match.source,
        kind=match.kind,
        others=others,
        ids=match.ids,
        other_ids=match.other_ids,
        shared=shared,
        examples=_examples(ids.filter(pc.invert(is_shared))),
        other_examples=_examples(only_other),
        advice=tuple(advice(mention, references, ids, other_ids, match.share)),
    )


def unique(columns: Sequence[Any]) -> Any:
    """The different ids of several columns, Arrow strings."""
    chunks = [chunk for c in columns for chunk in (c.chunks if isinstance(c, pa.ChunkedArray) else [c])]
    return pc.unique(pa.chunked_array(chunks, type=pa.string())).drop_null()


def _examples(ids: Any) -> tuple[str, ...]:
    return tuple(ids.take(pc.sort_indices(ids)[:EXAMPLES]).to_pylist())
