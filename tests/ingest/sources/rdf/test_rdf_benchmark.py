from __future__ import annotations

from pathlib import Path

from benchmarks.rdf import generate
from ingest import GraphBuilder, GraphSettings


def test_the_generated_file_reads_whole_and_as_rdflib_reads_it(tmp_path: Path) -> None:
    import rdflib

    path = tmp_path / "generated.nt"
    count = generate(path, 1000)
    graph, report = GraphBuilder(GraphSettings(item="movie")).add_rdf(path).build()
    parsed = rdflib.Graph().parse(path, format="nt")
    assert report.sources[0].read == count == 1000
    assert not report.warnings
    edges = sum(table.num_rows for table in graph.edges.values())
    named = set(parsed.subjects())
    assert edges == sum(1 for _, p, o in parsed if o in named)
    assert sum(graph.num_nodes(name) for name in ("movie", "person")) == len(named)
    repeated = report.findings["repeated triples"].count if "repeated triples" in report.findings else 0
    assert len(parsed) == count - repeated
