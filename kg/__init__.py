"""The graph itself: schema, typed tables, ids, interactions and splits, paths, views, and safe files."""

from importlib.metadata import PackageNotFoundError, version

from kg.arrays import RaggedArray
from kg.graph import KnowledgeGraph
from kg.interactions import Interactions
from kg.schema import Event, NodeType, PositiveRule, Relation, RelationKey, Schema
from kg.splits import Split, SplitConfig, hide_items, split_interactions
from kg.vocabulary import Vocabulary

try:
    __version__ = version("graphrecall")
except PackageNotFoundError:  # a source tree copied to a machine without installing it
    __version__ = "0+uninstalled"

__all__ = [
    "Event",
    "Interactions",
    "KnowledgeGraph",
    "NodeType",
    "PositiveRule",
    "RaggedArray",
    "Relation",
    "RelationKey",
    "Schema",
    "Split",
    "SplitConfig",
    "Vocabulary",
    "hide_items",
    "split_interactions",
]
