"""Users at the door: those who are to be forgotten stay outside, the others may come in under a pseudonym."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ingest.report import QualityReport
from kg.graph import KnowledgeGraph
from kg.privacy.user_key import UserKey
from kg.privacy.users import rename_users, without_users

WORDS = (r"[^\s,;<>\"'()\[\]]+", r"[\w.@+-]+")  # what may be an id in an example: an IRI, a word

WHY_LEFT_OUT = "the sources name users who are to be forgotten: they are left out, with all they did"
FORGOTTEN_USERS = "forgotten users"


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """What to do with the users that sources name.

    Attributes:
        key: of the hashes.
        forgotten: marks (`UserKey.marks`) of the users who must not come in again.
        pseudonyms: whether the others go by a keyed hash of their id.
    """

    key: UserKey
    forgotten: frozenset[str] = frozenset()
    pseudonyms: bool = False

    def admit(self, graph: KnowledgeGraph, report: QualityReport) -> KnowledgeGraph:
        """The graph of those who may come in; the report says how many may not, and quotes none of them."""
        ids = graph.users.ids.to_pylist()
        names = self.key.pseudonyms(ids)
        gone = np.array([mark in self.forgotten for mark in self.key.marks(names)], dtype=bool)
        if gone.any():
            graph, _ = without_users(graph, np.flatnonzero(gone))
            outside = [id for id, out in zip(ids, gone, strict=True) if out]
            report.unquote(lambda example: any(id in example for id in outside))
            report.add(
                FORGOTTEN_USERS,
                len(outside),
                WHY_LEFT_OUT,
            )
        if self.forgotten:
            # Of lines that were set aside, too, whose users may be in no other.
            report.unquote(self._quotes_forgotten)
        if self.pseudonyms:
            graph = rename_users(graph, [name for name, out in zip(names, gone, strict=True) if not out])
            # Any example may quote an id, and short ids are found in everything.
            report.unquote(lambda _: True)
        return graph

    def name(self, id: str) -> str | None:
        """What a user goes by inside; None for one who is not let in."""
        (pseudonym,) = self.key.pseudonyms([id])
        if self.key.marks([pseudonym])[0] in self.forgotten:
            return None
        return pseudonym if self.pseudonyms else id

    def _quotes_forgotten(self, example: str) -> bool:
        words = {word for pattern in WORDS for word in re.findall(pattern, example)}
        return not self.forgotten.isdisjoint(self.key.marks_of_ids(sorted(words)))
