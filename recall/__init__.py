"""Candidates and reasons: channels, pipeline, the Recommender, explanations, the refresh job, the command line."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recall.config.deployment import load_config
    from recall.contracts import Candidates, Channel, Query, Ranker
    from recall.control.filters import where
    from recall.jobs.fit import fit
    from recall.jobs.refresh import refresh
    from recall.pipeline import Pipeline
    from recall.serve.ids import ItemSet
    from recall.serve.recommender import Recommender

__all__ = [
    "Candidates",
    "Channel",
    "ItemSet",
    "Pipeline",
    "Query",
    "Ranker",
    "Recommender",
    "fit",
    "load_config",
    "refresh",
    "where",
]

_MODULES = {
    "Candidates": "recall.contracts",
    "Channel": "recall.contracts",
    "ItemSet": "recall.serve.ids",
    "Pipeline": "recall.pipeline",
    "Query": "recall.contracts",
    "Ranker": "recall.contracts",
    "Recommender": "recall.serve.recommender",
    "fit": "recall.jobs.fit",
    "load_config": "recall.config.deployment",
    "refresh": "recall.jobs.refresh",
    "where": "recall.control.filters",
}


def __getattr__(name: str) -> Any:
    # At first use: `graphrecall --help` must not wait for FAISS.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    if name == "__version__":
        import kg

        return kg.__version__
    raise AttributeError(f"module 'recall' has no attribute {name!r}")
