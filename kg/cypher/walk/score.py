"""The score of a pair as a query: a row for each path, with its share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kg.cypher.query import CypherQuery
from kg.cypher.walk.clauses import BETWEEN, POPULARITY_POWER, Clauses, gain_of_end, union, worth_of_entity
from kg.cypher.walk.rules import (
    NOT_POPULAR,
    DirectRule,
    NextRule,
    Part,
    Popularity,
    RelationRule,
    Rule,
    StatedRule,
    StatedTextRule,
    TextRule,
    UsersRule,
)
from kg.cypher.walk.words import Words
from kg.schema import Schema


def score_query(
    schema: Schema,
    parts: Sequence[Part],
    item_id: str,
    *,
    popularity: Popularity = NOT_POPULAR,
    show_users: bool = False,
) -> CypherQuery:
    """A query that recomputes the score of a walk for one item, path by path.

    Each row has `step`, the name of the type of step; `ids`, the external ids along the path, the item last; `users`,
    through how many other users it goes; and `share`, its share of the score. The sum of the shares is the score.

    What the database can say is computed there: which nodes edges join, degrees, likes under the positive rule. What it
    cannot is in the rows of the parts. The database has to hold the graph that the walk was fitted on: the embedded
    store of a run does, a Neo4j may have moved on since.

    Args:
        schema: gives labels, types and the positive rule.
        parts: the types of step with the rows that they start from; one without rows adds nothing.
        item_id: external id.
        popularity: what the likes of the item add, a row of its own.
        show_users: a row for each other user, with the id; otherwise paths through users are summed by the item that
            they start at, and the query holds and returns no id of another user.

    Raises:
        InvalidDataError: there is nothing to compute, or the schema has no interactions.
    """
    words = Words(schema)
    return union(
        words,
        parts,
        _MAKERS,
        show_users,
        popularity,
        lambda number: _popularity(words, number),
        item_id=words.value(words.item, item_id),
    )


def _row(number: str, ids: Sequence[str], share: str, users: str = "0") -> str:
    return f"RETURN $step{number} AS step, [{', '.join(ids)}] AS ids, {users} AS users, {share} AS share"


def _item(words: Words) -> str:
    return words.node("i", words.item, "$item_id")


def _ids(words: Words, *names: tuple[str, str]) -> list[str]:
    return [words.id(name, node_type) for name, node_type in names]


def _users(rule: UsersRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses, user = Clauses(words), words.node("v", words.user)
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.likes("i", "d_end")
    # Each user is counted once, before the items of the history multiply them.
    clauses.add(f"MATCH (i){words.liked('b', backwards=True)}{user}\n{words.positive('b')}", "v")
    clauses.distinct()
    clauses.add(f"MATCH (v){words.liked('c')}{words.node('x', words.item)}\n{words.positive('c')}")
    clauses.count(words.key("x", words.item), "d_middle")
    clauses.add(f"WHERE d_middle <= $longest{number}")
    clauses.starts(rows)
    clauses.add(f"MATCH (j){words.liked('a', backwards=True)}(v)\n{words.positive('a')}")
    clauses.distinct()
    share = f"$weight{number} * row.age * d_start ^ $start{number} * d_end ^ $end{number} * "
    if show_users:
        clauses.likes("j", "d_start")
        ids = _ids(words, ("j", words.item), ("v", words.user), ("i", words.item))
        clauses.add(_row(number, ids, f"{share}d_middle ^ $middle{number}", "1"))
    else:
        clauses.keep("i", "d_end", "row", "j", through=f"sum(d_middle ^ $middle{number})", users="count(v)")
        clauses.likes("j", "d_start")
        clauses.add(_row(number, _ids(words, ("j", words.item), ("i", words.item)), f"{share}through", "users"))
    return clauses.text()


def _next(rule: NextRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses = Clauses(words)
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.likes("i", "d_end")
    clauses.starts(rows)
    clauses.likes("j", "d_start")
    share = f"$weight{number} * row.age * row.worth * d_start ^ $start{number} * d_end ^ $end{number}"
    if not show_users:
        clauses.add(_row(number, _ids(words, ("j", words.item), ("i", words.item)), share, "toInteger(row.users)"))
        return clauses.text()
    user = words.node("v", words.user, "row.user")
    clauses.add(
        f"MATCH (j){words.liked('a', backwards=True)}{user}{words.liked('b')}(i)\n{words.positive('a', 'b')}", "v"
    )
    clauses.distinct()
    clauses.add(f"MATCH (v){words.liked('c')}{words.node('x', words.item)}\n{words.positive('c')}")
    clauses.count(words.key("x", words.item), "d_middle")
    share += f" * d_middle ^ $middle{number}"
    clauses.add(_row(number, _ids(words, ("j", words.item), ("v", words.user), ("i", words.item)), share, "1"))
    return clauses.text()


def _relation(rule: RelationRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses, types, item = Clauses(words), words.ends(rule.way), words.item
    near, far = (("x",), ("x",)) if len(rule.way) == 1 else (("y", "x"), ("z", "x"))
    entity = words.key("x", types[-1])
    clauses.add(f"MATCH {_item(words)}", "i")
    if not rule.cut:
        clauses.add(f"MATCH {words.way('(i)', rule.way, far)}")
        clauses.count(entity, "d_end")
    clauses.gain(rule)
    clauses.items_with(rule)
    # What belongs to the end is counted once, before the items of the history multiply it.
    clauses.add(f"MATCH {words.way('(i)', rule.way, far)}", *far)
    clauses.distinct()
    passed_on = ""
    if not rule.cut:
        clauses.items_of_entity(rule)
    if len(rule.way) > 1:
        clauses.passed_on("z", rule)
        passed_on = f" * d_y ^ $middle{number} * d_z ^ $middle{number}"
    clauses.add(f"UNWIND ${rows} AS row", "row")
    clauses.add(f"MATCH {clauses.meeting(words.node('j', item, 'row.id'), rule, near)}", "j", *near[:-1])
    if rule.cut:
        clauses.add(f"WHERE {entity} = row.entity")
        clauses.distinct(**{name: f"row.{name}" for name in ("d_start", "d_middle", "d_end")})
    else:
        clauses.distinct()
        clauses.add(f"MATCH {words.way('(j)', rule.way, BETWEEN[-len(rule.way) :])}")
        clauses.count(words.key("p", types[-1]), "d_start")
    if len(rule.way) > 1:
        clauses.passed_on("y", rule)
    names = [("j", item), *zip(near, types, strict=True), *zip(reversed(far[:-1]), types[-2::-1], strict=True)]
    share = (
        f"$weight{number} * row.age * d_start ^ $start{number} * {worth_of_entity(rule, number)}{passed_on}"
        f" * d_end ^ $end{number}{gain_of_end(rule, number)}"
    )
    clauses.add(_row(number, _ids(words, *names, ("i", item)), share))
    return clauses.text()


def _stated(rule: StatedRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses, (end,) = Clauses(words), words.ends(rule.way)
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.add(f"MATCH {words.way('(i)', rule.way, ('x',))}")
    clauses.count(words.key("x", end), "d_end")
    clauses.gain(rule)
    clauses.items_with(rule)
    clauses.add(f"UNWIND ${rows} AS row", "row")
    clauses.add(f"MATCH (i){words.edge('x_0', *rule.way[0])}{words.node('x', end, 'row.id')}", "x")
    clauses.distinct()
    clauses.items_of_entity(rule)
    share = f"$weight{number} * row.age * {worth_of_entity(rule, number)} * d_end ^ $end{number}"
    clauses.add(_row(number, _ids(words, ("x", end), ("i", words.item)), share + gain_of_end(rule, number)))
    return clauses.text()


def _direct(rule: DirectRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses, item, (hop,) = Clauses(words), words.item, rule.way
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.add(f"MATCH {words.node('o', item)}{words.edge('arriving', *hop)}(i)")
    clauses.count(words.key("o", item), "d_end")
    clauses.gain(rule)
    clauses.starts(rows)
    clauses.add(f"MATCH {words.way('(j)', rule.way, ('x',))}")
    clauses.count(words.key("x", item), "d_start")
    clauses.add(f"MATCH (j){words.edge('edge', *hop)}(i)")
    clauses.distinct()
    share = f"$weight{number} * row.age * d_start ^ $start{number} * d_end ^ $end{number}{gain_of_end(rule, number)}"
    clauses.add(_row(number, _ids(words, ("j", item), ("i", item)), share))
    return clauses.text()


def _text(rule: TextRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses = Clauses(words)
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.gain(rule)
    clauses.starts(rows)
    share = f"$weight{number} * row.age * row.cosine ^ $power{number}{gain_of_end(rule, number)}"
    clauses.add(_row(number, _ids(words, ("j", words.item), ("i", words.item)), share))
    return clauses.text()


def _stated_text(rule: StatedTextRule, words: Words, number: str, rows: str, show_users: bool) -> str:
    clauses = Clauses(words)
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.gain(rule)
    clauses.add(f"UNWIND ${rows} AS row", "row")
    share = f"$weight{number} * row.cosine ^ $power{number}{gain_of_end(rule, number)}"
    clauses.add(_row(number, _ids(words, ("i", words.item)), share))
    return clauses.text()


def _popularity(words: Words, number: str) -> str:
    clauses = Clauses(words)
    clauses.add(f"MATCH {_item(words)}", "i")
    clauses.likes("i", "likes", optional=True)
    share = f"$weight{number} * likes ^ ${POPULARITY_POWER}"
    clauses.add(_row(number, _ids(words, ("i", words.item)), share))
    return clauses.text()


_MAKERS: Sequence[tuple[type[Rule], Callable[..., str]]] = (
    (UsersRule, _users),
    (NextRule, _next),
    (StatedRule, _stated),
    (RelationRule, _relation),
    (DirectRule, _direct),
    (StatedTextRule, _stated_text),
    (TextRule, _text),
)
