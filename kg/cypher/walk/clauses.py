"""A query in the making: its clauses, and which variables are in scope."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kg.cypher.query import CypherQuery
from kg.cypher.walk.rules import DirectRule, Part, Popularity, RelationRule, Rule, StatedRule, TextRule
from kg.cypher.walk.words import NATURAL, Words
from kg.errors import InvalidDataError

POPULARITY = "popularity"
POPULARITY_POWER = "popularity_power"
BETWEEN = ("q", "p")  # names of nodes that are only counted along


class Clauses:
    """Clauses one after the other; every count keeps what is in scope."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.lines: list[str] = []
        self.scope: list[str] = []

    def add(self, clause: str, *names: str) -> None:
        """A clause, and the variables that it brings into scope."""
        self.lines.append(clause.strip())
        self.scope += names

    def keep(self, *names: str, **computed: str) -> None:
        """Go on with some variables alone, and with computed ones by name."""
        columns = [*names, *(f"{text} AS {name}" for name, text in computed.items())]
        self.lines.append(f"WITH {', '.join(columns)}")
        self.scope = [*names, *computed]

    def distinct(self, **computed: str) -> None:
        """Go on with each combination of values once, and with computed ones by name."""
        self.keep(*self.scope, **computed)
        self.lines[-1] = self.lines[-1].replace("WITH ", "WITH DISTINCT ", 1)

    def count(self, key: str, name: str) -> None:
        """How many different values a key has for each value of what is in scope, as `name`."""
        self.keep(*self.scope, **{name: f"count(DISTINCT {key})"})

    def starts(self, rows: str) -> None:
        """Each row as `row`, and its item as `j`."""
        self.add(f"UNWIND ${rows} AS row", "row")
        self.add(f"MATCH {self.words.node('j', self.words.item, 'row.id')}", "j")

    def likes(self, item: str, name: str, *, optional: bool = False) -> None:
        """How many users like an item; without `optional` an item that nobody likes is left out."""
        self.add(f"{'OPTIONAL ' if optional else ''}MATCH {self.words.fans(f'({item})')}")
        self.count(self.words.key("fan", self.words.user), name)

    def gain(self, rule: RelationRule | DirectRule | TextRule) -> None:
        """The likes of the end, `likes`, for a rule that asks for them."""
        if rule.likes:
            self.likes("i", "likes", optional=True)

    def items_with(self, rule: RelationRule) -> None:
        """How many items are joined to any entity, `items`, for a rule that asks for them."""
        if rule.rarity:
            self.add(f"MATCH {self.words.way(self._item('o'), rule.way, BETWEEN[-len(rule.way) :])}")
            self.count(self.words.key("o", self.words.item), "items")

    def items_of_entity(self, rule: RelationRule) -> None:
        """How many items the entity `x` joins, as `d_middle`; a pattern of its own, so that no edge is excluded."""
        between = BETWEEN[: len(rule.way) - 1]
        self.add(f"MATCH {self.meeting(self._item('o'), rule, (*between, 'x'))}")
        self.count(self.words.key("o", self.words.item), "d_middle")

    def meeting(self, start: str, rule: RelationRule, names: Sequence[str]) -> str:
        """The way from an item to an entity that is bound already."""
        words = self.words
        return words.way(start, rule.way[:-1], names[:-1]) + words.edge("reaching", *rule.way[-1]) + f"({names[-1]})"

    def passed_on(self, name: str, rule: RelationRule) -> None:
        """How many entities a node between is joined to, as `d_` and its name."""
        end = self.words.ends(rule.way)[-1]
        self.add(f"MATCH ({name}){self.words.edge('more', *rule.way[-1])}{self.words.node('p', end)}")
        self.count(self.words.key("p", end), f"d_{name}")

    def _item(self, name: str) -> str:
        return self.words.node(name, self.words.item)

    def text(self) -> str:
        """The query so far."""
        return "\n".join(self.lines)


def worth_of_entity(rule: RelationRule, number: str) -> str:
    """p(x) of `kg.topology.walk.EntityStep`, from `d_middle` and `items`."""
    text = f"d_middle ^ $middle{number}"
    return f"(log(1.0 * items / d_middle) / {NATURAL}) ^ $rarity{number} * {text}" if rule.rarity else text


def gain_of_end(rule: Rule, number: str) -> str:
    """What the likes of the end multiply a path by, from `likes`; nothing where they do not count."""
    counts = isinstance(rule, (RelationRule, DirectRule, TextRule)) and rule.likes
    return f" * (1.0 + likes) ^ $likes{number}" if counts else ""


def union(
    words: Words,
    parts: Sequence[Part],
    makers: Sequence[tuple[type[Rule], Callable[..., str]]],
    option: Any,
    popularity: Popularity,
    popularity_text: Callable[[str], str],
    **parameters: Any,
) -> CypherQuery:
    """One query after the other, for every type of step that has rows, and for popularity.

    Args:
        words: of the schema.
        parts: the types of step with their rows.
        makers: by kind of rule, the first that fits: its query, from the rule, the words, its number, the name of the
            parameter with its rows, and the option.
        option: the same for all queries.
        popularity: what likes add.
        popularity_text: the query of popularity, from its number.
        **parameters: further values.

    Raises:
        InvalidDataError: there is none.
    """
    texts: list[str] = []
    values: dict[str, Any] = {**parameters, **words.parameters()}
    rows_of: dict[int, str] = {}
    for at, part in enumerate(parts):
        if part.rows:
            number = str(at)  # the same for every pair, so that a database finds the plan again
            name = rows_of.setdefault(id(part.rows), f"rows{number}")
            make = next(make for kind, make in makers if isinstance(part.rule, kind))
            texts.append(make(part.rule, words, number, name, option))
            values |= {name: _keyed(part.rule, part.rows, words)} | _rule_parameters(part.rule, number)
    if popularity.weight:
        number = str(len(parts))
        texts.append(popularity_text(number))
        values |= {
            f"step{number}": POPULARITY,
            f"weight{number}": popularity.weight,
            POPULARITY_POWER: popularity.power,
        }
    if not texts:
        raise InvalidDataError("a walk that starts nowhere and without popularity has no query: its scores are 0")
    text = "\nUNION ALL\n".join(texts)
    used = set(re.findall(r"\$(\w+)", text))
    return CypherQuery(text, {name: value for name, value in values.items() if name in used})


def _rule_parameters(rule: Rule, number: str) -> dict[str, Any]:
    """The values of a rule by the names that the clauses use."""
    values: dict[str, Any] = {"step": rule.name, "weight": rule.weight}
    powers = getattr(rule, "powers", None)
    if powers is not None:
        values |= {"start": -powers.start, "middle": -powers.middle, "end": -powers.end}
    for name in ("longest", "rarity", "likes", "power"):
        if (value := getattr(rule, name, None)) is not None:
            values[name] = value
    return {f"{name}{number}": value for name, value in values.items()}


def _keyed(rule: Rule, rows: Sequence[Mapping[str, Any]], words: Words) -> list[dict[str, Any]]:
    """Rows with keys of the database in place of external ids."""
    types = {"id": words.item, "user": words.user}
    if isinstance(rule, RelationRule):
        types["entity"] = words.ends(rule.way)[-1]
    if isinstance(rule, StatedRule):
        types["id"] = types["entity"]
    return [
        {name: words.value(types[name], value) if name in types else value for name, value in row.items()}
        for row in rows
    ]
