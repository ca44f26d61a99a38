"""Sources into the graph: RDF, tables, validation and the report of what was found."""

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
