"""Files in no known format: which of them say what users did, and what the others say of the same items."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.assemble.could_be_edges import in_column
from ingest.assemble.findings import grades
from ingest.look import words
from ingest.look.datasets import add_rule
from ingest.look.proposal import Proposal
from ingest.look.rdf import is_rdf, propose_rdf
from ingest.look.tables import TableLook, is_scale, is_time, look_at_table
from ingest.look.text_form import doubt_of_encoding, find_encoding, is_lists
from ingest.sources.tables import read_lists, to_floats
from kg.errors import InvalidDataError
from kg.schema import snake_case

LEAST_SHARED = 0.2
SHOWN_COLUMNS = 12
FEWEST_IDS, LEAST_BY_CHANCE = 5, 0.5  # small numbers that are no ids are often among those that are
RESERVED = ("id", "text", "types")


def propose_files(proposal: Proposal, files: Sequence[tuple[str, Path]]) -> None:
    """Add the sections for files; what they are joined by is seen by their ids.

    Raises:
        InvalidDataError: a file cannot be read, or nothing says what users did.
    """
    rdf = [(name, path) for name, path in files if is_rdf(path)]
    lists = [(name, path) for name, path in files if _holds_lists(path)]
    looks = [look_at_table(path, name) for name, path in files if not is_rdf(path) and (name, path) not in lists]
    acts = sorted(
        ((ends, look) for look in looks if (ends := _ends(look)) is not None),
        key=lambda pair: (-_worth(pair[1], pair[0]), pair[1].name),
    )
    has_acts = any(section.name == "sources.neo4j" and "interactions" in section.keys for section in proposal.sections)
    if not acts and not rdf and not has_acts and not lists:
        columns = "; ".join(f"{look.name}: {', '.join([*look.columns][:SHOWN_COLUMNS])}" for look in looks)
        raise InvalidDataError(
            "no file says what users did to items: a table with a column of users and one of items is needed "
            f"({columns}). If one is there under names that say nothing here, rename its columns to user_id and "
            "item_id, or write the configuration yourself: [[sources.interactions]] with files and "
            'columns = { user = "...", item = "..." }'
        )
    items = _lists(proposal, lists) if lists else pa.array([], pa.string())
    if acts and lists:
        proposal.doubts += [f"{look.name} is left out: the lists of items are what is learned" for _, look in acts]
    elif acts:
        (user, item), first = acts[0]
        if not any(section.name == "sources.neo4j" for section in proposal.sections):
            proposal.graph.keys["item"] = words.item_type(item)
        items = first.columns[item].ids
        _interactions(proposal, first, user, item)
        for (other_user, other_item), look in acts[1:]:
            _events(proposal, look, other_user, other_item)
    of_acts = [look.name for _, look in acts]
    others = [look for look in looks if look.name not in of_acts]
    node_types: dict[str, Any] = {proposal.graph.keys["item"]: items}
    if acts and not lists:
        node_types[proposal.graph.keys["user"]] = acts[0][1].columns[acts[0][0][0]].ids
    _tables(proposal, others, node_types)
    if rdf:
        propose_rdf(proposal, rdf, items)


def _holds_lists(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".txt", ".dat", ".list", ".lists")) and is_lists(path)


def _lists(proposal: Proposal, files: Sequence[tuple[str, Path]]) -> Any:
    """A section of lists, split into parts where the names say so; returns the ids of the items."""
    encodings = {path: find_encoding(path) for _, path in files}
    lists = [read_lists(path, name=name, encoding=encodings[path]).table for name, path in files]
    ids = pc.unique(pa.concat_tables(lists)["item_id"])
    parts = {
        part: [name for name, path in files if part in re.split(r"\W|_", path.name.lower())]
        for part in ("train", "valid", "test")
    }
    keys: dict[str, Any] = {"format": "lists"}
    if parts["train"] and parts["test"]:
        keys |= {part: names for part, names in parts.items() if names}
    else:
        keys["files"] = [name for name, _ in files]
    doubts = []
    # Where only one of the files has accents, the others are ASCII, which fits any encoding.
    if encoding := next((encoding for encoding in encodings.values() if encoding != "utf-8"), None):
        keys["encoding"] = encoding
        doubts.append(doubt_of_encoding(encoding))
    guess = "a line for each user: the user and then the items, in order"
    proposal.add("sources.interactions", keys, guess, doubts, is_list=True)
    if "train" in keys:
        proposal.add("split", {"kind": "files"}, "the files are the parts", is_list=False)
    else:
        proposal.add("split", {"kind": "random"}, "there are no times", is_list=False)
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids


def _ends(look: TableLook) -> tuple[str, str] | None:
    """The columns of users and of items; None where the table does not say what users did."""
    user = look.best(words.user_rank, least=2)
    if user is None or look.columns[user].is_key:
        return None
    item = look.best(words.item_rank, leave_out=(user,))
    if item is None:
        others = [n for n, c in look.columns.items() if n != user and words.words_of(n)[-1] in ("id", "code", "key")]
        item = others[0] if others else None
    return None if item is None else (user, item)


def _worth(look: TableLook, ends: tuple[str, str]) -> float:
    """How much a table is what should be learned: the one with ratings, then the longest."""
    rating = look.named(words.RATINGS, ("integer", "number"), ends)
    return float(look.table.num_rows * (10 if rating is not None else 1))


def _roles(look: TableLook, user: str, item: str) -> tuple[dict[str, str], list[str]]:
    """The columns of an interaction table, and what is doubtful about them."""
    ends = (user, item)
    columns, doubts = {"user": user, "item": item}, []
    rating = look.named(words.RATINGS, ("integer", "number"), ends)
    if rating is not None and is_scale(look, rating):
        columns["rating"] = rating
    times = [name for name in look.columns if name not in (*ends, rating) and is_time(look, name)]
    named = [name for name in times if words.is_one_of(name, words.TIMES)]
    if named or times:
        columns["timestamp"] = (named or times)[0]
    if len(named or times) > 1:
        doubts.append(f"the time is one of {', '.join(named or times)}")
    weight = look.named(words.WEIGHTS, ("integer", "number"), (*ends, rating, columns.get("timestamp")))
    if weight is not None:
        columns["weight"] = weight
    left = [name for name in look.columns if name not in columns.values()]
    if left:
        doubts.append(f"not used: {', '.join(left)}")
    return columns, doubts


def _interactions(proposal: Proposal, look: TableLook, user: str, item: str) -> None:
    columns, doubts = _roles(look, user, item)
    proposal.add(
        "sources.interactions",
        {"files": [look.name], "columns": columns, **look.form},
        f"what users did: {look.table.num_rows:,} rows",
        [*doubts, *look.doubts],
        is_list=True,
    )
    if "rating" in columns:
        add_rule(proposal, grades(pa.chunked_array([pa.array(to_floats(look.table[columns["rating"]])[0])])))
    if "timestamp" not in columns:
        proposal.add("split", {"kind": "random"}, "there are no times", is_list=False)


def _events(proposal: Proposal, look: TableLook, user: str, item: str) -> None:
    """Further traces of users; a column of short texts becomes nodes, as tags do."""
    columns, doubts = _roles(look, user, item)
    columns.pop("rating", None)
    relation = words.type_name(Path(look.name).name.split(".")[0])
    keys: dict[str, Any] = {"relation": f"{relation}_event", "files": [look.name], "columns": columns, **look.form}
    for name, column in look.columns.items():
        if name not in columns.values() and column.kind == "text" and in_column(look.table[name].combine_chunks()):
            value = words.type_name(name)
            keys |= {"value_type": value, "value_relation": f"has_{value}"}
            columns["value"] = name
            doubts = [doubt for doubt in doubts if not doubt.startswith("not used")]
            break
    guess = f"further traces of users: {look.table.num_rows:,} rows"
    proposal.add("sources.events", keys, guess, [*doubts, *look.doubts], is_list=True)


def _tables(proposal: Proposal, looks: list[TableLook], node_types: dict[str, Any]) -> None:
    """Tables of attributes and edges, beginning with those that name nodes that are there already."""
    waiting = list(looks)
    while waiting:
        best = max(waiting, key=lambda look: _joint(look, node_types)[2])
        column, node, share = _joint(best, node_types)
        waiting.remove(best)
        if triple := _triple(best):
            _triples(proposal, best, triple, node_types)
        elif share < LEAST_SHARED or column is None or node is None:
            proposal.doubts.append(
                f"{best.name} is left out: none of its columns ({', '.join(best.columns)}) holds ids of "
                f"{', '.join(node_types)} nodes"
            )
        elif best.columns[column].is_key:
            _attributes(proposal, best, node, column, share)
        else:
            _edges(proposal, best, node, column, node_types)


def _joint(look: TableLook, node_types: dict[str, Any]) -> tuple[str | None, str | None, float]:
    """The column whose ids are those of a node type, that type, and the share; keys before others."""
    best: tuple[str | None, str | None, float] = (None, None, 0.0)
    best_score = 0.0
    for name, column in look.columns.items():
        if column.kind in ("list", "time", "number") or not len(column.ids):
            continue
        for node, ids in node_types.items():
            if not len(ids):
                continue
            shared = pc.sum(pc.is_in(column.ids, value_set=ids)).as_py() or 0
            share = shared / min(len(column.ids), len(ids))
            is_named = words.is_one_of(name, (node, "id", "code", "key", *words.ITEM_CODES))
            if not is_named and (len(column.ids) < FEWEST_IDS or share < LEAST_BY_CHANCE):
                continue
            score = share * (1 + 0.5 * column.is_key) * (1.2 if is_named else 1.0)
            if score > best_score:
                best, best_score = (name, node, share), score
    return best


def _attributes(proposal: Proposal, look: TableLook, node: str, id: str, share: float) -> None:
    """Attributes of nodes, and edges for those that several nodes share."""
    names = {column: _attribute(column) for column in look.columns if column != id}
    title = next((c for c in names if words.words_of(c) in ([word] for word in words.TITLES)), None) or next(
        (c for c in names if words.words_of(c)[-1] in words.TITLES and look.columns[c].kind == "text"), None
    )
    if title is not None and names[title] not in words.TITLES:
        names[title] = "title"
    keys: dict[str, Any] = {"node": node, "files": [look.name], "id": id, **look.form}
    if any(column != name for column, name in names.items()):
        keys["columns"] = {name: column for column, name in names.items()}
    doubts = [f"only {share:.0%} of the ids are shared with the others"] * (share < 0.9) + look.doubts
    shared = {
        column: values
        for column in names
        if column != title
        and not words.is_one_of(column, (*words.TEXTS, *words.TITLES, "url", "link", "image"))
        and (values := in_column(look.table[column][:20_000].combine_chunks())) is not None
    }
    lists = {names[column]: values[0] for column, values in shared.items() if values[0] is not None}
    if lists:
        keys["lists"] = lists
    guess = f"attributes of {node} nodes: {look.table.num_rows:,} rows"
    proposal.add("sources.attributes", keys, guess, doubts, is_list=True)
    if node == proposal.graph.keys["item"]:
        _text(proposal, node, names.get(title or ""), look, names)
    for column, (separator, different, _, examples) in shared.items():
        relation = words.type_name(column)
        edges: dict[str, Any] = {
            "source": node,
            "relation": relation,
            "target": relation if relation not in (node, "user") else f"{relation}_value",
            "files": [look.name],
            "columns": {"source": id, "target": column},
            **({} if separator is None else {"split": separator}),
            **look.form,
        }
        guess = f"what {node} nodes share: {different:,} values such as {', '.join(examples)}"
        proposal.add("sources.edges", edges, guess, is_list=True)


def _text(proposal: Proposal, node: str, title: str | None, look: TableLook, columns: dict[str, str]) -> None:
    """A template of the text of the items, where there is more than a title."""
    long = [columns[c] for c in columns if words.words_of(c)[-1] in words.TEXTS and look.columns[c].kind == "text"]
    if long:
        keys = {"text": f"{{{title}}}. {{{long[0]}}}" if title is not None else f"{{{long[0]}}}"}
        proposal.add(f"graph.nodes.{node}", keys, "what the text model reads", is_list=False)


def _attribute(column: str) -> str:
    name = re.sub(r"\W", "_", snake_case(column))
    return f"{name}_" if name in RESERVED else name


def _edges(proposal: Proposal, look: TableLook, node: str, source: str, node_types: dict[str, Any]) -> None:
    """Edges from a column of nodes to another column of ids or names, of one relation or of a column of them."""
    others = [n for n, c in look.columns.items() if n != source and c.kind in ("text", "integer", "list")]
    kind = next((n for n in others if snake_case(n) in words.RELATIONS and not look.columns[n].is_key), None)
    ends = ("id", "target", "name")
    candidates = [n for n in others if n != kind]
    ranked = sorted(candidates, key=lambda n: (words.words_of(n)[-1] not in ends, candidates.index(n)))
    if not ranked:
        proposal.doubts.append(f"{look.name} is left out: it names {node} nodes and nothing that they are joined to")
        return
    target = ranked[0]
    stem = words.words_of(Path(look.name).name.split(".")[0])
    is_generic = snake_case(target) in words.GENERIC
    node_target = words.type_name("_".join(stem)) if is_generic else words.type_name(target)
    if is_generic and kind is not None:
        node_target = "entity"
    if node_target.endswith(f"_{node}"):
        node_target = node
    keys: dict[str, Any] = {"source": node}
    columns = {"source": source, "target": target}
    if kind is None:
        keys["relation"] = _relation(stem, node, node_target)
    else:
        columns["relation"] = kind
    keys |= {"target": node_target, "files": [look.name], "columns": columns, **look.form}
    unused = ", ".join(name for name in look.columns if name not in columns.values())
    doubts = [f"not used: {unused}"] * bool(unused) + look.doubts
    proposal.add("sources.edges", keys, f"edges from {node} nodes: {look.table.num_rows:,} rows", doubts, is_list=True)
    node_types.setdefault(node_target, look.columns[target].ids)


def _relation(stem: list[str], node: str, target: str) -> str:
    """The name of a relation after its file, `acted_in.csv`; where that names only the ends, after the target."""
    plain = [word for word in stem if words.type_name(word) not in (node, target, *words.GENERIC)]
    name = words.type_name("_".join(plain)) if plain else target
    return f"related_{name}" if name == node else name


def _triple(look: TableLook) -> tuple[str, str, str] | None:
    plain = {snake_case(name): name for name in look.columns}
    return next(
        ((plain[h], plain[r], plain[t]) for h, r, t in words.TRIPLES if {h, r, t} <= set(plain)),
        None,
    )


def _triples(proposal: Proposal, look: TableLook, triple: tuple[str, str, str], node_types: dict[str, Any]) -> None:
    """An edge table of many relations, from items to entities."""
    item = proposal.graph.keys["item"]
    heads = look.columns[triple[0]].ids
    shared = pc.sum(pc.is_in(heads, value_set=node_types[item])).as_py() or 0
    doubts = [f"{shared:,} of the {len(heads):,} ids in {triple[0]} are those of {item} nodes"]
    keys = {
        "source": item,
        "target": "entity",
        "files": [look.name],
        "columns": dict(zip(("source", "relation", "target"), triple, strict=True)),
        **look.form,
    }
    proposal.add("sources.edges", keys, f"edges of many relations: {look.table.num_rows:,} rows", doubts, is_list=True)
