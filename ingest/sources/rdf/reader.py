"""RDF files, or an rdflib graph, into integer arrays: one pass, no triple kept as an object.

N-Triples and N-Quads are read in blocks of whole lines (those of N-Triples mostly without making an object a triple,
see `ingest.sources.rdf.ntriples`); lines that the parser refuses are tried again one by one, so that only the bad ones
are set aside. The other formats cannot be resumed after an error (reading on would invent or lose triples) and are
refused whole.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from ingest.report import MAX_EXAMPLES, QualityReport, SourceAccount
from ingest.sources.bounded import LINE, BoundedGzip, is_gzip
from ingest.sources.rdf.file_names import default_base, format_of
from ingest.sources.rdf.nesting import TRIPLE_TERMS, check_by_trial, is_deep
from ingest.sources.rdf.ntriples import cut_lines
from ingest.sources.rdf.plain_xml import NO_LANGUAGE, PlainXmlStream
from ingest.sources.rdf.streams import CountedStream, LongLine, UnmarkedStream, blocks_of_lines
from ingest.sources.rdf.terms import Batch, BlankNodes, Numbers, parser_format, plain_datatype
from ingest.sources.rdf.triples import Int32Array, Triples
from kg.arrays import IntArray
from kg.errors import InvalidDataError
from kg.progress import SILENT, Progress

FLUSH_ROWS = 1 << 17


class RdfReader:
    """Collects the facts of many files and graphs into one `Triples`.

    Args:
        report: where what was read and set aside is counted.
        strict: refuse the first bad line instead of setting it aside.
        progress: listener.
    """

    def __init__(self, report: QualityReport, *, strict: bool = False, progress: Progress = SILENT) -> None:
        self.report = report
        self.strict = strict
        self.progress = progress
        self._terms = Numbers()
        self._kinds = Numbers()
        self._edges: list[Int32Array] = []
        self._graphs: list[Int32Array] = []
        self._literals: list[Int32Array] = []
        self._literal_graphs: list[Int32Array] = []
        self._values: list[Any] = []

    def read_file(
        self, path: Path, *, name: str | None = None, format: str | None = None, base: str | None = None
    ) -> SourceAccount:
        """Read one file.

        Args:
            path: plain or .gz.
            name: what messages and blank nodes call the file; default: its file name.
            format: one of the values of `ingest.sources.rdf.file_names.FORMATS`; default: told by its name.
            base: that relative IRIs of the file are resolved against where it states none; default: `default_base`.

        Returns:
            The file's account in the report.

        Raises:
            InvalidDataError: the file is missing, empty, of an unknown format, or broken (in strict mode: has a bad
                line); the message names the place.
        """
        name = name or path.name
        kind = format or format_of(path)
        source = self.report.source(name, "rdf")
        before = len(self._terms)
        blanks = BlankNodes(name)
        own_base = default_base(name) if base is None else None
        try:
            size = path.stat().st_size
            if kind in ("turtle", "trig"):
                check_by_trial(path, kind, name)
            with path.open("rb") as raw, self.progress.task(f"reading {name}", total=size) as task:
                stream: Any = CountedStream(raw, task)
                plain: Any = BoundedGzip(stream, size, name) if is_gzip(path) else stream
                plain = UnmarkedStream(plain)
                if kind in ("ntriples", "nquads"):
                    self._read_lines(plain, kind, source, blanks)
                else:
                    self._read_whole(plain, kind, source, blanks, base or own_base or "")
        except FileNotFoundError as error:
            raise InvalidDataError(f"{path} does not exist: check the path in sources.rdf") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidDataError(f"{name} is a damaged .gz file ({error}): nothing was read from it") from error
        except OSError as error:
            raise InvalidDataError(f"{path} cannot be read: {error.strerror or error}") from error
        if not source.read:
            raise InvalidDataError(f"{name} is empty: it holds no triple")
        if own_base is not None:
            self._report_relative(name, own_base, before)
        return source

    def _report_relative(self, name: str, base: str, before: int) -> None:
        """Count the terms, from `before` on, that were made of relative IRIs by the base of no one's choice."""
        folder = base[: base.rindex("/") + 1]
        relative = [term for term in islice(self._terms, before, None) if term.startswith(folder)]
        self.report.add(
            "relative IRIs",
            len(relative),
            "IRIs without a base are resolved against the name of the file: give `base` in sources.rdf, or @base in "
            "the file, if they are to match ids or other files",
            [f"{name}: {term}" for term in relative[:MAX_EXAMPLES]],
        )

    def read_graph(self, graph: Any, *, name: str = "rdflib graph") -> SourceAccount:
        """Take the facts of an rdflib `Graph` or `Dataset`; its blank nodes are scoped by `name`."""
        from rdflib import BNode, Literal
        from rdflib.graph import DATASET_DEFAULT_GRAPH_ID

        source = self.report.source(name, "rdf")
        terms, kinds, prefix = self._terms, self._kinds, f"_:{name}/"

        def number(term: Any) -> int:
            return terms[prefix + str(term) if isinstance(term, BNode) else str(term)]

        quads: Iterable[Any] = (
            graph.quads((None, None, None, None)) if hasattr(graph, "quads") else ((s, p, o, None) for s, p, o in graph)
        )
        batch = Batch()
        for s, p, o, g in quads:
            context = getattr(g, "identifier", g)
            named = -1 if context is None or context == DATASET_DEFAULT_GRAPH_ID else number(context)
            if isinstance(o, Literal):
                language = (o.language or "").lower()
                datatype = "" if o.datatype is None or language else str(o.datatype)
                batch.literals += (number(s), number(p), kinds[language, plain_datatype(datatype)])
                batch.literal_graphs.append(named)
                batch.values.append(str(o))
            else:
                batch.edges += (number(s), number(p), number(o))
                batch.graphs.append(named)
            if batch.size >= FLUSH_ROWS:
                self._keep(batch, source)
                batch = Batch()
        self._keep(batch, source)
        if not source.read:
            raise InvalidDataError(f"the {name} is empty: it holds no triple")
        return source

    def finish(self) -> Triples:
        """Everything that was read; the reader is empty afterwards."""
        edges = _concatenate(self._edges).reshape(-1, 3)
        literals = _concatenate(self._literals).reshape(-1, 3)
        result = Triples(
            terms=list(self._terms),
            subject=edges[:, 0].copy(),
            predicate=edges[:, 1].copy(),
            object=edges[:, 2].copy(),
            graph=_concatenate(self._graphs),
            literal_subject=literals[:, 0].copy(),
            literal_predicate=literals[:, 1].copy(),
            literal_kind=literals[:, 2].copy(),
            literal_graph=_concatenate(self._literal_graphs),
            literal_value=pa.chunked_array(self._values, type=pa.string()),
            kinds=list(self._kinds),
        )
        self._terms, self._kinds = Numbers(), Numbers()
        self._edges, self._graphs, self._literals, self._literal_graphs, self._values = [], [], [], [], []
        return result

    def _read_lines(self, stream: IO[bytes], kind: str, source: SourceAccount, blanks: BlankNodes) -> None:
        line = 1
        for block in blocks_of_lines(stream):
            if isinstance(block, LongLine):
                self._set_bad_line_aside(
                    block.begin, source, line, f"longer than {LINE >> 20} MiB, the most for a line"
                )
                line += 1
                continue
            rest = self._cut(block, source) if kind == "ntriples" else None
            if rest is None:
                self._read_block(block, kind, source, blanks, range(line, line + block.count(b"\n") + 1))
            elif len(rest):
                lines = block.split(b"\n")
                left = b"\n".join([lines[n] for n in rest.tolist()])
                self._read_block(left, kind, source, blanks, (rest + line).tolist())
            line += block.count(b"\n")

    def _cut(self, block: bytes, source: SourceAccount) -> IntArray | None:
        """Take the plain lines of a block; the numbers of the others, or None when it has to be parsed as a whole."""
        from pyoxigraph import RdfFormat, parse

        lines = cut_lines(block, lambda text: list(parse(text, format=RdfFormat.N_TRIPLES)))
        if lines is None:
            return None
        terms, kinds = self._terms, self._kinds
        number = np.array([terms[iri] for iri in lines.iris], dtype=np.int32)
        kind = np.array([kinds[tag, plain_datatype(datatype)] for tag, datatype in lines.kinds], dtype=np.int32)
        subject, predicate = number[lines.subject], number[lines.predicate]
        nodes = ~lines.literal
        source.read += len(subject)
        self._edges.append(np.stack([subject[nodes], predicate[nodes], number[lines.object]], axis=1).ravel())
        self._graphs.append(np.full(int(nodes.sum()), -1, dtype=np.int32))
        if len(lines.kind):
            texts = [subject[lines.literal], predicate[lines.literal], kind[lines.kind]]
            self._literals.append(np.stack(texts, axis=1).ravel())
            self._literal_graphs.append(np.full(len(lines.kind), -1, dtype=np.int32))
            self._values.append(lines.value)
        return lines.rest

    def _read_block(
        self, block: bytes, kind: str, source: SourceAccount, blanks: BlankNodes, numbers: Sequence[int]
    ) -> None:
        """Parse lines (`numbers` are theirs in the file): all at once, else a few at a time, and then one by one."""
        if is_deep(block):
            block, numbers = self._without_deep_lines(block, source, numbers)
        batch = Batch()
        try:
            self._parse(block, kind, batch, blanks)
        except SyntaxError:
            lines = block.split(b"\n")
            if len(lines) == 1:
                self._set_line_aside(block, kind, source, blanks, numbers[0])
                return
            step = 64 if len(lines) > 64 else 1
            for start in range(0, len(lines), step):
                few = b"\n".join(lines[start : start + step])
                self._read_block(few, kind, source, blanks, numbers[start : start + step])
        else:
            self._keep(batch, source)

    def _set_line_aside(self, text: bytes, kind: str, source: SourceAccount, blanks: BlankNodes, line: int) -> None:
        try:
            self._parse(text, kind, Batch(), blanks)
        except SyntaxError as error:
            self._set_bad_line_aside(text, source, line, re.sub(r"^Parser error[^:]*: ", "", error.msg or ""))

    def _set_bad_line_aside(self, text: bytes, source: SourceAccount, line: int, reason: str) -> None:
        place = f"{source.name}:{line}: {reason}: {text[:120].decode(errors='replace').strip()}"
        if self.strict:
            raise InvalidDataError(f"bad line in {place} (quality.strict refuses it)")
        source.read += 1
        self.report.set_aside(source, "bad lines", 1, "lines that are no statement, set aside", [place])

    def _without_deep_lines(
        self, block: bytes, source: SourceAccount, numbers: Sequence[int]
    ) -> tuple[bytes, Sequence[int]]:
        """The lines of a block that the parser survives, and their numbers; the others are set aside."""
        left: list[tuple[bytes, int]] = []
        for text, number in zip(block.removesuffix(b"\n").split(b"\n"), numbers, strict=False):
            if is_deep(text):
                self._set_bad_line_aside(text, source, number, f"triple terms more than {TRIPLE_TERMS} deep")
            else:
                left.append((text, number))
        return b"\n".join([text for text, _ in left]), [number for _, number in left]

    def _read_whole(self, stream: Any, kind: str, source: SourceAccount, blanks: BlankNodes, base: str) -> None:
        batch = Batch()
        # A broken file must leave no trace, so its batches are kept only once all of it is read.
        marks = [len(kept) for kept in self._lists()]
        read = source.read
        xml = PlainXmlStream(stream) if kind == "rdfxml" else None
        try:
            self._parse(xml or stream, kind, batch, blanks, source=source, base=base)
            if xml is not None:
                xml.close()
        except (SyntaxError, MemoryError) as parser_error:  # the second: a term is longer than the parser's buffer
            error: Any = (xml.error if xml is not None else None) or parser_error
            for kept, mark in zip(self._lists(), marks, strict=True):
                del kept[mark:]
            done = source.read - read + batch.size
            line = getattr(error, "lineno", None)
            place = f"{source.name}:{line}" if line else f"{source.name}, after {done} triples"
            reason = (
                error.msg if isinstance(error, SyntaxError) else f"a text or name is too long for the parser: {error}"
            )
            raise InvalidDataError(f"{place}: broken {kind}, the whole file is refused: {reason}") from error
        self._keep(batch, source)

    def _lists(self) -> list[list[Any]]:
        return [self._edges, self._graphs, self._literals, self._literal_graphs, self._values]

    def _parse(
        self,
        data: Any,
        kind: str,
        batch: Batch,
        blanks: BlankNodes,
        source: SourceAccount | None = None,
        base: str | None = None,
    ) -> None:
        """Append the facts of `data` to `batch`; with a `source`, move full batches over on the way."""
        from pyoxigraph import BlankNode, DefaultGraph, Literal, Triple, parse

        terms, kinds = self._terms, self._kinds
        edges, graphs, literals = batch.edges, batch.graphs, batch.literals
        literal_graphs, values = batch.literal_graphs, batch.values
        named_graphs = kind in ("nquads", "trig")
        count = 0
        for s, p, o, g in parse(data, format=parser_format(kind), base_iri=base):
            subject = terms[blanks[s.value] if type(s) is BlankNode else s.value]
            if not named_graphs or type(g) is DefaultGraph:
                graph = -1
            else:
                graph = terms[blanks[g.value] if type(g) is BlankNode else g.value]
            if type(o) is Literal:
                language = o.language
                if language is None:
                    literal_kind = kinds["", plain_datatype(o.datatype.value)]
                else:
                    literal_kind = kinds["" if language == NO_LANGUAGE else language.lower(), ""]
                literals += (subject, terms[p.value], literal_kind)
                literal_graphs.append(graph)
                values.append(o.value)
            elif type(o) is Triple:
                batch.quoted += 1
            else:
                edges += (subject, terms[p.value], terms[blanks[o.value] if type(o) is BlankNode else o.value])
                graphs.append(graph)
            if source is not None:
                count += 1
                if count % FLUSH_ROWS == 0:
                    self._keep(batch, source)
                    batch.quoted = 0
                    for rows in (edges, graphs, literals, literal_graphs, values):
                        rows.clear()

    def _keep(self, batch: Batch, source: SourceAccount) -> None:
        source.read += batch.size
        if batch.quoted:
            self.report.set_aside(
                source,
                "quoted triples",
                batch.quoted,
                "statements about statements (RDF 1.2), set aside",
                [source.name],
            )
        if batch.graphs:
            self._edges.append(np.array(batch.edges, dtype=np.int32))
            self._graphs.append(np.array(batch.graphs, dtype=np.int32))
        if batch.values:
            self._literals.append(np.array(batch.literals, dtype=np.int32))
            self._literal_graphs.append(np.array(batch.literal_graphs, dtype=np.int32))
            self._values.append(pa.array(batch.values, type=pa.string()))


def _concatenate(parts: list[Int32Array]) -> Int32Array:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
