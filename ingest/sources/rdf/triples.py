"""Facts of RDF as integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Int32Array = npt.NDArray[np.int32]


@dataclass(slots=True)
class Triples:
    """Facts as integers.

    Attributes:
        terms: IRIs, and blank nodes as `_:file/label`; positions are the integers below.
        subject, predicate, object, graph: facts whose object is a node, int32 (edges,); graph -1 is the default graph.
        literal_subject, literal_predicate, literal_graph: facts whose object is a literal, int32 (literals,).
        literal_kind: position in `kinds`, int32 (literals,).
        literal_value: lexical forms, Arrow strings (literals,).
        kinds: pairs of language tag ("" without) and datatype IRI.
    """

    terms: list[str]
    subject: Int32Array
    predicate: Int32Array
    object: Int32Array
    graph: Int32Array
    literal_subject: Int32Array
    literal_predicate: Int32Array
    literal_graph: Int32Array
    literal_kind: Int32Array
    literal_value: Any
    kinds: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.subject) + len(self.literal_subject)
