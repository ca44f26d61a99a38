"""Clean facts of all sources into one `KnowledgeGraph`."""

from __future__ import annotations

from ingest.assemble.edges import edge_tables
from ingest.assemble.feedback import admit_feedback
from ingest.assemble.findings import add_findings
from ingest.assemble.ids import collect_ids
from ingest.assemble.matches import check_matches, id_matches
from ingest.assemble.nodes import node_table
from ingest.assemble.reified import fold_reified
from ingest.assemble.relations import collect_relations
from ingest.assemble.schema import check_overrides, make_schema
from ingest.assemble.texts import with_text
from ingest.facts import Facts
from ingest.people import People
from ingest.report import QualityReport
from ingest.settings import GraphSettings, QualitySettings
from kg.graph import KnowledgeGraph


def assemble(
    facts: Facts,
    settings: GraphSettings,
    report: QualityReport,
    *,
    quality: QualitySettings,
    people: People | None = None,
) -> KnowledgeGraph:
    """Join the facts of all sources.

    Args:
        facts: clean tables.
        settings: roles and overrides.
        report: findings.
        quality: how well the sources must fit together.
        people: which users to leave out or rename; None: nobody.

    Raises:
        InvalidDataError: there are no items, (strict) some that nothing describes, or the sources mean other nodes.
        ConfigError: an override names what is not there.
    """
    admit_feedback(facts, settings, report)
    relations = collect_relations(facts, settings)
    report.matches = id_matches(facts.mentions, settings, people)
    check_matches(report.matches, report, limit=quality.min_match)
    ids = collect_ids(facts, relations, settings, report, strict=quality.strict)
    nodes = {name: node_table(name, ids[name], facts, report) for name in ids}
    edges = edge_tables(facts, relations, ids, settings, report)
    fold_reified(edges.tables, relations.events, ids, settings, report)
    schema = make_schema(facts, relations, settings, nodes, edges.tables)
    for name, node_type in schema.node_types.items():
        if node_type.text is not None:
            nodes[name] = with_text(node_type, nodes, edges.tables, schema, report)
    graph = KnowledgeGraph(schema, nodes, {key: edges.tables[key] for key in schema.relations}, edges.repeats)
    check_overrides(settings, schema)
    if people is not None:
        graph = people.admit(graph, report)
    add_findings(graph, report)
    report.counts = graph.counts()
    return graph
