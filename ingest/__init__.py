"""From sources (RDF, tables, Neo4j) to the graph, with a report of what was read, set aside and odd."""

from ingest.build import build_graph
from ingest.builder import GraphBuilder
from ingest.report import QualityReport
from ingest.settings import DataSettings, GraphSettings, QualitySettings
from kg.settings import validate

__all__ = [
    "DataSettings",
    "GraphBuilder",
    "GraphSettings",
    "QualityReport",
    "QualitySettings",
    "build_graph",
    "validate",
]
