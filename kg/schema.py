"""The schema of a graph: node types, relations, and which relations record what users did.

It maps each relation's name to its RDF predicate and Neo4j type, and each node type to its RDF class, Neo4j label and
text template, for the readers, the model, the paths, the Cypher and the texts of explanations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kg.errors import ConfigError, InvalidDataError

RESERVED_NODE_COLUMNS = ("id", "text")
TITLE_ATTRIBUTES = ("title", "name", "label", "prefLabel", "pref_label")


class RelationKey(NamedTuple):
    """`(source node type, relation name, target node type)`, as in PyG's HeteroData."""

    source: str
    name: str
    target: str

    def __str__(self) -> str:
        return f"({self.source})-[{self.name}]->({self.target})"


@dataclass(frozen=True, slots=True)
class Event:
    """The columns of an edge table that name who did it and to which item.

    `(user)-[rated]->(movie)` is `Event("src", "dst")`. `(movie)-[tagged_with]->(tag)` keeps the user of each tag in a
    column of its own: `Event("user", "src")`. Edges of a relation with an event follow the split, the cold-start masks
    and the forgetting of a user.
    """

    user: str = "src"
    item: str = "dst"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeType:
    """One kind of node.

    Attributes:
        name: lower snake case, "movie".
        label: Neo4j label, "Movie".
        rdf_class: IRI of the class, or None.
        text: template of the text feature, "{title} ({year})"; None means no text. Missing attributes render empty.
        title: the attribute that is shown for a node; None means its id.
        noun: the English word for one of them, "movie".
        predicates: attribute -> IRI of the predicate it came from.
        key: the property that holds the id in a graph database.
        key_type: what that property holds: "string", or "integer" where the id is the number's text.
    """

    name: str
    label: str = ""
    rdf_class: str | None = None
    text: str | None = None
    title: str | None = None
    noun: str = ""
    predicates: Mapping[str, str] = field(default_factory=dict, hash=False)
    key: str = "id"
    key_type: Literal["string", "integer"] = "string"

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or pascal_case(self.name))
        object.__setattr__(self, "noun", self.noun or self.name.replace("_", " "))

    def key_value(self, id: str) -> str | int:
        """What the property `key` of a graph database holds for an external id."""
        # An id that is no number is from another source than the database.
        number = self.key_type == "integer" and re.fullmatch(r"0|-?[1-9][0-9]{0,17}", id)
        return int(id) if number else id


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One kind of edge.

    Attributes:
        key: source type, name, target type.
        cypher_type: Neo4j relationship type, "DIRECTOR"; "HAS_GENRE" when a relation is named like one of its ends.
        predicate: IRI, or None.
        phrase: English from source to target, "has director": "Alien has director Ridley Scott".
        event: set when the edges record what users did.
        properties: column -> the property that holds it in a graph database, where that has another name.
    """

    key: RelationKey
    cypher_type: str = ""
    predicate: str | None = None
    phrase: str = ""
    event: Event | None = None
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", RelationKey(*self.key))
        if not self.cypher_type:
            # Ladybug keeps labels and types in one namespace without case: GENRE could not stand beside Genre.
            taken = self.key.name.lower() in (self.key.source.lower(), self.key.target.lower())
            object.__setattr__(self, "cypher_type", ("HAS_" if taken else "") + self.key.name.upper())
        object.__setattr__(self, "phrase", self.phrase or "has " + self.key.name.replace("_", " "))


@dataclass(frozen=True, slots=True)
class PositiveRule:
    """Which interactions count as liked: `column >= minimum`; without a column every one does."""

    column: str | None = None
    minimum: float = 0.0

    @classmethod
    def parse(cls, text: str) -> PositiveRule:
        """Read `"rating >= 4"` or `"all"`.

        Raises:
            ConfigError: the text is neither.
        """
        if text.strip() == "all":
            return cls()
        match = re.fullmatch(r"\s*(\S.*?)\s*>=\s*([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)\s*", text, flags=re.IGNORECASE)
        if match is None:
            raise ConfigError(f"positive rule {text!r} is not understood: write 'all' or 'rating >= 4'")
        return cls(match[1], float(match[2]))

    def mask(self, edges: Any) -> npt.NDArray[np.bool_]:
        """True for the rows of an edge table that are positive, (edges,).

        Raises:
            InvalidDataError: the table lacks the rule's column.
        """
        if self.column is None:
            return np.ones(edges.num_rows, dtype=bool)
        if self.column not in edges.column_names:
            raise InvalidDataError(
                f"the positive rule {self} needs a column {self.column!r}; the interactions have "
                f"{', '.join(edges.column_names)}"
            )
        try:
            values = edges[self.column].cast(pa.float64(), safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InvalidDataError(
                f"the positive rule {self} needs numbers in {self.column!r}, not {edges[self.column].type}: {error}"
            ) from error
        result: npt.NDArray[np.bool_] = pc.fill_null(pc.greater_equal(values, self.minimum), False).to_numpy()
        return result

    def __str__(self) -> str:
        return "all" if self.column is None else f"{self.column} >= {repr(self.minimum).removesuffix('.0')}"


@dataclass(frozen=True, slots=True)
class Schema:
    """Node types and relations by name, and the roles among them.

    Attributes:
        user_type, item_type: names of the node types that are recommended to, and recommended.
        interaction: key of the relation that is learned and predicted, from user to item.
        positive: which of its edges are positives; only these are edges of the model and of the paths.
    """

    node_types: Mapping[str, NodeType]
    relations: Mapping[RelationKey, Relation]
    user_type: str = "user"
    item_type: str = "item"
    interaction: RelationKey | None = None
    positive: PositiveRule = field(default_factory=PositiveRule)

    def __post_init__(self) -> None:
        if self.interaction is not None:
            object.__setattr__(self, "interaction", RelationKey(*self.interaction))
        for key in self.relations:
            for end in (key.source, key.target):
                if end not in self.node_types:
                    raise InvalidDataError(f"relation {key} names the node type {end!r}, which the schema lacks")
        if self.interaction is not None and self.interaction not in self.relations:
            raise InvalidDataError(f"the interaction relation {self.interaction} is not in the schema")

    @property
    def interaction_key(self) -> RelationKey:
        """The interaction relation's key.

        Raises:
            InvalidDataError: the graph has no interactions.
        """
        if self.interaction is None:
            raise InvalidDataError("this graph has no interactions: add them before training or recommending")
        return self.interaction

    def events(self) -> dict[RelationKey, Event]:
        """The relations that record what users did, with the columns of user and item."""
        return {key: relation.event for key, relation in self.relations.items() if relation.event is not None}

    def with_(self, *, node_types: Iterable[NodeType] = (), relations: Iterable[Relation] = (), **roles: Any) -> Schema:
        """A copy with node types and relations added or replaced, and roles changed."""
        return replace(
            self,
            node_types={**self.node_types, **{t.name: t for t in node_types}},
            relations={**self.relations, **{r.key: r for r in relations}},
            **roles,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data for schema.json."""
        return {
            "node_types": [asdict(node_type) for node_type in self.node_types.values()],
            "relations": [{**asdict(r), "key": list(r.key)} for r in self.relations.values()],
            "user_type": self.user_type,
            "item_type": self.item_type,
            "interaction": list(self.interaction) if self.interaction else None,
            "positive": str(self.positive),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """The inverse of `to_json`."""
        node_types = [NodeType(**entry) for entry in data["node_types"]]
        relations = [
            Relation(
                **{
                    **entry,
                    "key": RelationKey(*entry["key"]),
                    "event": Event(**entry["event"]) if entry["event"] else None,
                }
            )
            for entry in data["relations"]
        ]
        return cls(
            node_types={t.name: t for t in node_types},
            relations={r.key: r for r in relations},
            user_type=data["user_type"],
            item_type=data["item_type"],
            interaction=RelationKey(*data["interaction"]) if data["interaction"] else None,
            positive=PositiveRule.parse(data["positive"]),
        )


def snake_case(name: str) -> str:
    """`musicComposer` -> `music_composer`; what is not a word character becomes an underscore."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W+", "_", spaced).strip("_").lower() or "unnamed"


def pascal_case(name: str) -> str:
    """`music_genre` -> `MusicGenre`."""
    return "".join(part.capitalize() for part in re.split(r"[\W_]+", name) if part) or "Unnamed"


def local_name(iri: str) -> str:
    """The last part of an IRI, after `#`, `/` or `:`."""
    return re.split(r"[#/:]", iri.rstrip("#/:"))[-1]


def template_names(template: str) -> list[str]:
    """The names in a text template, "{title} ({year})".

    Raises:
        ConfigError: a brace belongs to no name.
    """
    if stray := re.search(r"[{}]", re.sub(r"\{\w+\}", "", template)):
        raise ConfigError(
            f"text template {template!r} has a {stray.group()!r} that belongs to no name: write {{name}} with the name "
            "of an attribute or a relation"
        )
    return re.findall(r"\{(\w+)\}", template)


def render_text(template: str, attributes: Any) -> Any:
    """Fill a text template for every row of a node table.

    Lists are joined by ", "; missing values render empty, and what is left of the punctuation around them
    ("()", doubled spaces) is cleaned away.

    Args:
        template: "{title} ({year})", names are columns of the table.
        attributes: Arrow table, (nodes,).

    Returns:
        Arrow string array (nodes,).

    Raises:
        ConfigError: the template names a column that the table lacks, or a brace belongs to no name.
    """
    names = template_names(template)
    unknown = [name for name in names if name not in attributes.column_names]
    if unknown:
        raise ConfigError(
            f"text template {template!r} names {', '.join(unknown)}; the attributes there are "
            f"{', '.join(attributes.column_names)}"
        )
    columns = {name: _text_column(attributes[name].combine_chunks()) for name in set(names)}
    # Odd places are names, even ones the text between them.
    pieces = [columns[part] if at % 2 else part for at, part in enumerate(re.split(r"\{(\w+)\}", template))]
    rows = pa.repeat("", attributes.num_rows)
    texts = pc.binary_join_element_wise(rows, *pieces, "")
    blank = r"[\s\p{Z}\x0b\x1c-\x1f\x{85}]"
    texts = pc.replace_substring_regex(texts, rf"\({blank}*\)|\[{blank}*\]", "")
    return pc.utf8_trim(pc.replace_substring_regex(texts, rf"{blank}+", " "), " ,;:-")


def _text_column(column: Any) -> Any:
    """A column as text, "" where it is null."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    elif not pa.types.is_string(column.type):
        column = pa.array([_plain(value) for value in column.to_pylist()], type=pa.string())
    return pc.fill_null(column, "")


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_plain(entry) for entry in value)
    return str(value)
