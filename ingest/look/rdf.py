"""RDF that nobody has described: classes, predicates, languages, and which class is that of the items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from ingest.assemble.id_forms import advice
from ingest.facts import Mapped, Mention
from ingest.look import words
from ingest.look.proposal import Proposal
from ingest.report import QualityReport
from ingest.settings import GraphSettings
from ingest.sources.rdf.file_names import FORMATS
from ingest.sources.rdf.mapping import map_triples
from ingest.sources.rdf.mentions import rdf_mentions
from ingest.sources.rdf.reader import RdfReader
from kg.errors import InvalidDataError
from kg.schema import RelationKey

LEAST_SHARED = 0.2


def is_rdf(path: Path) -> bool:
    """Whether a file holds RDF, by its name."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix in FORMATS


def propose_rdf(proposal: Proposal, files: Sequence[tuple[str, Path]], items: Any) -> None:
    """Add the sections for RDF.

    Args:
        proposal: of the tables, whose items the graph describes.
        files: name and path of each.
        items: ids of the items in the tables, Arrow strings; empty: the graph itself must say what users did.

    Raises:
        InvalidDataError: a file cannot be read, or nothing says what users did.
    """
    report = QualityReport()
    reader = RdfReader(report)
    accounts = [reader.read_file(path, name=name) for name, path in files]
    triples = reader.finish()
    languages = Counter(language for language, _ in triples.kinds if language)
    mapped = map_triples(triples, GraphSettings(), report, accounts[0])
    sizes = {name: nodes.table.num_rows for name, nodes in mapped.nodes.items()}
    preferred = ["en", ""] if "en" in languages or not languages else [languages.most_common(1)[0][0], ""]
    kinds = ", ".join(f"{count:,} {name}" for name, count in sorted(sizes.items(), key=lambda pair: -pair[1]))
    relations = ", ".join(sorted({key.name for key in mapped.edges})) or "none"
    section = proposal.add(
        "sources.rdf",
        {"files": [name for name, _ in files], "languages": preferred},
        f"a graph of {kinds}; its relations are {relations}",
        [f"its texts are in {', '.join(sorted(languages))}"] * (len(languages) > 1),
        is_list=True,
    )
    if len(items):
        _join(proposal, rdf_mentions(mapped, "RDF"), mapped, items)
    else:
        _acts(proposal, mapped)
    if report.warnings:
        section.doubts += [f"{finding.count:,} {finding.kind}: {finding.explanation}" for finding in report.warnings]


def _join(proposal: Proposal, mentions: list[Mention], mapped: Mapped, items: Any) -> None:
    """Find the node type and the key that are those of the items in the tables."""
    acts = Mention(node="item", source="the interactions", kind="interactions", key="columns.item", ids=items)
    named = proposal.graph.keys["item"]
    best: tuple[float, Mention | None, str | None] = (0.0, None, None)
    for mention in mentions:
        ids = pc.unique(mention.ids)
        shared = (pc.sum(pc.is_in(ids, value_set=items)).as_py() or 0) / max(min(len(ids), len(items)), 1)
        options: list[tuple[float, Mention | None, str | None]] = [(shared, mention, None)]
        for line, share in advice(mention, [acts], ids, items, 0.0):
            if line.startswith("graph.nodes."):
                options.append((share, mention, line.partition(' = "')[2].rstrip('"')))
        best = max([best, *options], key=lambda option: (option[0], option[1] is not None and option[1].node == named))
    share, matched, key = best
    item = proposal.graph.keys["item"]
    if matched is None or share < LEAST_SHARED:
        proposal.doubts.append(
            f"no class of the RDF has the ids of the {item} nodes in the tables: say under graph.nodes.{item}.key "
            "which property or part of the IRI is that id; `graphrecall check` shows both forms"
        )
        return
    rdf_class = mapped.nodes[matched.node].type.rdf_class
    keys: dict[str, Any] = {}
    if matched.node != item:
        if item == "item":  # no better name is there than that of the class
            proposal.rename(item, matched.node)
            item = matched.node
        elif rdf_class is not None:
            keys["rdf_class"] = rdf_class
    if key is not None:
        keys["key"] = key
    if keys:
        guess = f"{share:.0%} of the ids match those of the tables"
        proposal.add(f"graph.nodes.{item}", keys, guess, is_list=False)


def _acts(proposal: Proposal, mapped: Mapped) -> None:
    """Users, items and what is learned, where the graph says it itself."""
    counts = {key: len(edges.src) for key, edges in mapped.edges.items()}
    users = sorted({name for name in mapped.nodes if words.user_rank(name) or name in ("person", "agent")})
    options = [key for key in counts if key.source in users and key.target not in users]
    if not options:
        raise InvalidDataError(
            "nothing says what users did to items: give a table of it, or RDF with users; the relations of the RDF are "
            f"{', '.join(map(str, counts)) or 'none'}"
        )

    def worth(key: RelationKey) -> tuple[bool, bool, int]:
        return bool(words.user_rank(key.source)), words.is_one_of(key.name, words.ACTS), counts[key]

    best = max(options, key=worth)
    proposal.graph.keys |= {"user": best.source, "item": best.target}
    if sum(key[::2] == best[::2] for key in options) > 1:
        proposal.graph.keys["interaction"] = best.name
    proposal.graph.doubts.append(f"that {best} is what should be learned is a guess by its name and size")
    proposal.add("split", {"kind": "random"}, "there are no times", is_list=False)
