"""The graph itself: schema, typed tables, ids, interactions and splits, paths, views, and safe files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kg.arrays import RaggedArray
    from kg.graph import KnowledgeGraph
    from kg.interactions import Interactions
    from kg.schema import Event, NodeType, PositiveRule, Relation, RelationKey, Schema
    from kg.splits import Split, SplitConfig, hide_items, split_interactions
    from kg.vocabulary import Vocabulary

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

_MODULES = {
    "Event": "kg.schema",
    "Interactions": "kg.interactions",
    "KnowledgeGraph": "kg.graph",
    "NodeType": "kg.schema",
    "PositiveRule": "kg.schema",
    "RaggedArray": "kg.arrays",
    "Relation": "kg.schema",
    "RelationKey": "kg.schema",
    "Schema": "kg.schema",
    "Split": "kg.splits",
    "SplitConfig": "kg.splits",
    "Vocabulary": "kg.vocabulary",
    "hide_items": "kg.splits",
    "split_interactions": "kg.splits",
}


def __getattr__(name: str) -> Any:
    # At first use: a process that only asks a database must not wait for Arrow.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("graphrecall")
        except PackageNotFoundError:  # a source tree copied to a machine without installing it
            return "0+uninstalled"
    raise AttributeError(f"module 'kg' has no attribute {name!r}")
