"""Candidates and reasons: index, channels, the Recommender, explanations, the refresh job, the command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recall.contracts import Candidates
    from recall.serve.recommender import Recommender

__all__ = ["Candidates", "Recommender"]


def __getattr__(name: str) -> Any:
    # At first use: `graphrecall --help` must not wait for FAISS.
    if name == "Recommender":
        from recall.serve.recommender import Recommender

        return Recommender
    if name == "Candidates":
        from recall.contracts import Candidates

        return Candidates
    raise AttributeError(f"module 'recall' has no attribute {name!r}")
