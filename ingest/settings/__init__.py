"""The sections of a configuration file that say which graph to build: `graph`, `sources`, `quality` and `neo4j`."""

from ingest.settings.data import DataSettings, QualitySettings, SourcesSettings, check_sections
from ingest.settings.files import (
    AttributesSource,
    CsvForm,
    DatasetFormat,
    DatasetSource,
    EdgeColumns,
    EdgesSource,
    EventColumns,
    EventsSource,
    InteractionColumns,
    InteractionsSource,
    RdfSource,
    TableSource,
    TimeUnit,
)
from ingest.settings.graph import GraphSettings, NodeSettings, RelationSettings
from ingest.settings.neo4j import Neo4jEdges, Neo4jEvents, Neo4jInteractions, Neo4jNodes, Neo4jSource

__all__ = [
    "AttributesSource",
    "CsvForm",
    "DataSettings",
    "DatasetFormat",
    "DatasetSource",
    "EdgeColumns",
    "EdgesSource",
    "EventColumns",
    "EventsSource",
    "GraphSettings",
    "InteractionColumns",
    "InteractionsSource",
    "Neo4jEdges",
    "Neo4jEvents",
    "Neo4jInteractions",
    "Neo4jNodes",
    "Neo4jSource",
    "NodeSettings",
    "QualitySettings",
    "RdfSource",
    "RelationSettings",
    "SourcesSettings",
    "TableSource",
    "TimeUnit",
    "check_sections",
]
