"""How item vectors are indexed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from kg.settings import Settings


class IndexConfig(Settings):
    """How the item vectors are indexed."""

    section: ClassVar[str] = "index"

    exact_up_to: int = Field(
        default=50_000,
        ge=0,
        description="Number of items up to which every search is exact; 50,000 vectors of 64 columns take about 1 ms "
        "on one core.",
    )
    kinds: tuple[Literal["ivf", "hnsw", "sq", "pq"], ...] = Field(
        default=("ivf", "hnsw", "sq", "pq"),
        description="Approximate kinds beyond that, tried in this order: inverted lists, a graph of neighbours, lists "
        "of vectors of a byte a column, lists of codes. The first that fits the memory and reaches the target serves; "
        "if none does, the index stays exact, or of those that fit the one that finds most serves.",
    )
    memory_mib: float | None = Field(
        default=None,
        gt=0,
        description="Memory that the index of a channel may take, in MiB, beside the vectors of the model: kinds that "
        "need more are not tried. Default: no limit.",
    )
    target_recall: float = Field(
        default=0.98, gt=0, le=1, description="Share of the exact top `measured_at` that must be found."
    )
    measured_at: int = Field(default=100, ge=1, description="Cut-off k of that measurement.")
    sample: int = Field(default=256, ge=1, description="Number of queries of that measurement.")
    seed: int = Field(default=0, description="Seed of the sample and of the clustering.")
    hnsw_links: int = Field(default=32, ge=1, description="Graph neighbours of each vector in HNSW (M).")
    hnsw_build: int = Field(default=80, ge=1, description="Candidates examined while HNSW is built (efConstruction).")
