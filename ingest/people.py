"""Users whom the graph must not name: forgotten ones are left out, the others can be given pseudonyms."""

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
        forgotten: marks (`UserKey.marks`) of the users who are left out.
        pseudonyms: whether the others are named by a keyed hash of their id.
    """

    key: UserKey
    forgotten: frozenset[str] = frozenset()
    pseudonyms: bool = False

    def admit(self, graph: KnowledgeGraph, report: QualityReport) -> KnowledgeGraph:
        """The graph without forgotten users and with pseudonyms; the report counts those left out and quotes none."""
        ids = graph.users.ids.to_pylist()
        names = self.key.pseudonyms(ids)
        left_out = np.array([mark in self.forgotten for mark in self.key.marks(names)], dtype=bool)
        if left_out.any():
            graph, _ = without_users(graph, np.flatnonzero(left_out))
            forgotten_ids = [id for id, is_left_out in zip(ids, left_out, strict=True) if is_left_out]
            report.unquote(lambda example: any(id in example for id in forgotten_ids))
            report.add(
                FORGOTTEN_USERS,
                len(forgotten_ids),
                WHY_LEFT_OUT,
            )
        if self.forgotten:
            # Examples of lines that were set aside may name users who are nowhere else.
            report.unquote(self._quotes_forgotten)
            # And a cell of theirs that could not be read says nothing of whose it is.
            report.keep_places()
        if self.pseudonyms:
            graph = rename_users(
                graph, [name for name, is_left_out in zip(names, left_out, strict=True) if not is_left_out]
            )
            # Any example may quote an id, and short ids are found in everything.
            report.unquote(lambda _: True)
        return graph

    def name(self, id: str) -> str | None:
        """The id of a user in the graph; None for a forgotten one."""
        (pseudonym,) = self.key.pseudonyms([id])
        if self.key.marks([pseudonym])[0] in self.forgotten:
            return None
        return pseudonym if self.pseudonyms else id

    def _quotes_forgotten(self, example: str) -> bool:
        words = {word for pattern in WORDS for word in re.findall(pattern, example)}
        return not self.forgotten.isdisjoint(self.key.marks_of_ids(sorted(words)))
