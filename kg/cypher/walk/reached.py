"""Who else a walk reaches: the items of one person, best first, ranked in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kg.cypher.query import CypherQuery
from kg.cypher.walk.clauses import POPULARITY_POWER, Clauses, gain_of_end, union, worth_of_entity
from kg.cypher.walk.rules import (
    NOT_POPULAR,
    DirectRule,
    NextRule,
    Part,
    Popularity,
    RelationRule,
    Rule,
    StatedRule,
    TextRule,
    UsersRule,
)
from kg.cypher.walk.words import Words
from kg.schema import Schema


def reached_query(
    schema: Schema, parts: Sequence[Part], *, seen: Iterable[str], k: int, popularity: Popularity = NOT_POPULAR
) -> CypherQuery:
    """A query that ranks all items for one person, for Neo4j: rows of `item_id` and `score`, best first.

    The walk itself keeps only the largest neighbours of each item; here nothing is cut, so an item may come out ahead
    that the lists have left out. With lists as long as there are items the two orders are the same. What comes with the
    rows, ends by text and by what followed, is of the walk's lists. Equal scores are ordered by id.

    Args:
        schema: gives labels, types and the positive rule.
        parts: the types of step with the rows that they start from.
        seen: external ids of the items to leave out, those that the walk starts at among them.
        k: items wanted.
        popularity: what the likes of an item add.

    Raises:
        InvalidDataError: there is nothing to compute, or the schema has no interactions.
    """
    parts_query = reached_parts_query(schema, parts, seen=seen, popularity=popularity)
    text = (
        f"CALL () {{\n{parts_query.text}\n}}\nWITH item_id, sum(share) AS score\nRETURN item_id, score\n"
        "ORDER BY score DESC, item_id\nLIMIT $k"
    )
    return CypherQuery(text, {**parts_query.parameters, "k": k})


def reached_parts_query(
    schema: Schema, parts: Sequence[Part], *, seen: Iterable[str], popularity: Popularity = NOT_POPULAR
) -> CypherQuery:
    """The same for any store, not added up: rows of `item_id`, `step` and `share`, one for each type of step.

    Ladybug cannot go on after a union, so there the sum over the types of step is left to the caller.

    Args, Raises: see `reached_query`.
    """
    words, left_out = Words(schema), list(seen)
    new = f"NOT {words.key('i', words.item)} IN $seen" if left_out else ""
    return union(
        words,
        parts,
        _MAKERS,
        new,
        popularity,
        lambda number: _popularity(words, number, new),
        seen=[words.value(words.item, id) for id in left_out],
    )


def _where(condition: str) -> str:
    return f"WHERE {condition}" if condition else ""


def _row(words: Words, number: str, share: str) -> str:
    return f"RETURN {words.id('i', words.item)} AS item_id, $step{number} AS step, $weight{number} * {share} AS share"


def _users(rule: UsersRule, words: Words, number: str, rows: str, new: str) -> str:
    clauses = Clauses(words)
    clauses.starts(rows)
    clauses.likes("j", "d_start")
    user, item = words.node("v", words.user), words.item
    clauses.add(f"MATCH (j){words.liked('a', backwards=True)}{user}\n{words.positive('a')}", "v")
    clauses.distinct()
    clauses.keep("v", given=f"sum(row.age * d_start ^ $start{number})")
    clauses.add(f"MATCH (v){words.liked('c')}{words.node('x', item)}\n{words.positive('c')}")
    clauses.count(words.key("x", item), "d_middle")
    clauses.add(f"WHERE d_middle <= $longest{number}")
    condition = " AND ".join(filter(None, (words.positive("b").removeprefix("WHERE "), new)))
    clauses.add(f"MATCH (v){words.liked('b')}{words.node('i', item)}\n{_where(condition)}", "i")
    clauses.distinct()
    clauses.keep("i", given=f"sum(given * d_middle ^ $middle{number})")
    clauses.likes("i", "d_end")
    clauses.add(_row(words, number, f"given * d_end ^ $end{number}"))
    return clauses.text()


def _relation(rule: RelationRule, words: Words, number: str, rows: str, new: str) -> str:
    clauses, types = Clauses(words), words.ends(rule.way)
    clauses.items_with(rule)
    items = tuple(clauses.scope)
    clauses.starts(rows)
    near = ("x",) if len(types) == 1 else ("y", "x")
    clauses.add(f"MATCH {words.way('(j)', rule.way, near)}")
    clauses.count(words.key("x", types[-1]), "d_start")
    clauses.add(f"MATCH {words.way('(j)', rule.way, near)}", *near)
    clauses.distinct()
    given = f"row.age * d_start ^ $start{number}"
    if len(near) > 1:
        clauses.passed_on("y", rule)
        given += f" * d_y ^ $middle{number}"
    clauses.keep(*items, "x", given=f"sum({given})")
    return _from_entities(clauses, rule, number, new)


def _stated(rule: StatedRule, words: Words, number: str, rows: str, new: str) -> str:
    clauses = Clauses(words)
    clauses.items_with(rule)
    items = tuple(clauses.scope)
    clauses.add(f"UNWIND ${rows} AS row", "row")
    (end,) = words.ends(rule.way)
    # Ladybug forgets what `row` was when it stands in the pattern of a node that outlives it.
    clauses.add(f"MATCH {words.node('x', end)} WHERE {words.key('x', end)} = row.id", "x")
    clauses.keep(*items, "x", given="sum(row.age)")
    return _from_entities(clauses, rule, number, new)


def _from_entities(clauses: Clauses, rule: RelationRule, number: str, new: str) -> str:
    """From entities `x`, each with what it was `given`, to the items that are joined to them."""
    words, types = clauses.words, clauses.words.ends(rule.way)
    clauses.items_of_entity(rule)
    clauses.keep("x", given=f"given * {worth_of_entity(rule, number)}")
    between = ("z",) if len(types) > 1 else ()
    start = words.node("i", words.item)
    clauses.add(f"MATCH {clauses.meeting(start, rule, (*between, 'x'))}\n{_where(new)}", *between, "i")
    clauses.distinct()
    given = "given"
    if between:
        clauses.passed_on("z", rule)
        given = f"given * d_z ^ $middle{number}"
    clauses.keep("i", given=f"sum({given})")
    clauses.add(f"MATCH {words.way('(i)', rule.way, (*between, 'x'))}")
    clauses.count(words.key("x", types[-1]), "d_end")
    clauses.gain(rule)
    clauses.add(_row(words, number, f"given * d_end ^ $end{number}{gain_of_end(rule, number)}"))
    return clauses.text()


def _direct(rule: DirectRule, words: Words, number: str, rows: str, new: str) -> str:
    clauses, item, (hop,) = Clauses(words), words.item, rule.way
    clauses.starts(rows)
    clauses.add(f"MATCH {words.way('(j)', rule.way, ('x',))}")
    clauses.count(words.key("x", item), "d_start")
    clauses.add(f"MATCH {words.way('(j)', rule.way, ('i',))}\n{_where(new)}", "i")
    clauses.distinct()
    clauses.keep("i", given=f"sum(row.age * d_start ^ $start{number})")
    clauses.add(f"MATCH {words.node('o', item)}{words.edge('arriving', *hop)}(i)")
    clauses.count(words.key("o", item), "d_end")
    clauses.gain(rule)
    clauses.add(_row(words, number, f"given * d_end ^ $end{number}{gain_of_end(rule, number)}"))
    return clauses.text()


def _ends(rule: NextRule | TextRule, words: Words, number: str, rows: str, new: str) -> str:
    """Ends that come with their worth."""
    clauses = Clauses(words)
    clauses.add(f"UNWIND ${rows} AS row", "row")
    clauses.add(f"MATCH {words.node('i', words.item, 'row.id')}\n{_where(new)}", "i")
    if isinstance(rule, NextRule):
        clauses.likes("i", "d_end")
        share = f"row.worth * d_end ^ $end{number}"
    else:
        clauses.gain(rule)
        share = f"row.worth{gain_of_end(rule, number)}"
    clauses.add(_row(words, number, share))
    return clauses.text()


def _popularity(words: Words, number: str, new: str) -> str:
    clauses = Clauses(words)
    clauses.add(f"MATCH {words.node('i', words.item)}\n{_where(new)}", "i")
    clauses.likes("i", "likes", optional=True)
    clauses.add(_row(words, number, f"likes ^ ${POPULARITY_POWER}"))
    return clauses.text()


_MAKERS: Sequence[tuple[type[Rule], Callable[..., str]]] = (
    (UsersRule, _users),
    (StatedRule, _stated),
    (RelationRule, _relation),
    (DirectRule, _direct),
    (NextRule, _ends),
    (TextRule, _ends),
)
