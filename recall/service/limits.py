"""Refuses requests that ask for more than the deployment allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from kg.errors import ConfigError
from recall.config.service import ServiceLimits
from recall.serve.questions import RecommendRequest
from recall.service.questions import ExplainRequest, SimilarRequest

TEXTS = ("text", "filter", "query")  # fields that hold words, not an id
BATCHES = ("queries", "pairs", "events")


def check_request(request: BaseModel, limits: ServiceLimits) -> None:
    """Compare a request with the limits.

    Raises:
        ConfigError: it is above one; the message names field and limit.
    """
    _check(request, limits, "")
    if isinstance(request, RecommendRequest):
        counts = [request.k if query.k is None else query.k for query in request.queries]
        _within(max(counts), limits.k, "k", "k")
        _within(sum(counts), limits.candidates, "the sum of k over all queries", "candidates")
    elif isinstance(request, SimilarRequest):
        _within(request.k, limits.k, "k", "k")
        _within(len(request.item_ids), limits.queries, "the number of item_ids", "queries")
        _within(request.k * len(request.item_ids), limits.candidates, "the sum of k over all items", "candidates")
    elif isinstance(request, ExplainRequest):
        _within(len(request.item_ids), limits.explanations, "the number of item_ids", "explanations")
        _within(request.k, limits.k, "k", "k")


def check_count(name: str, value: int, limits: ServiceLimits) -> None:
    """Compare a number of rows that is wanted with the limit of k.

    Raises:
        ConfigError: it is above it.
    """
    _within(value, limits.k, name, "k")


def check_id(name: str, value: str, limits: ServiceLimits) -> None:
    """Compare an id that stands in the address with the limit of ids.

    Raises:
        ConfigError: it is longer.
    """
    _within(len(value), limits.id_length, f"the length of {name}", "id_length")


def _check(value: Any, limits: ServiceLimits, place: str) -> None:
    """Look through fields, lists and mappings."""
    if isinstance(value, str):
        limit = "text_length" if place.rpartition(".")[2] in TEXTS else "id_length"
        _within(len(value), getattr(limits, limit), f"the length of {place}", limit)
    elif isinstance(value, list):
        limit = "queries" if place in BATCHES else "ids"
        _within(len(value), getattr(limits, limit), f"the number of {place}", limit)
        if value and isinstance(value[0], str):
            # At once: there may be hundreds of thousands.
            _within(max(map(len, value)), limits.id_length, f"the length of an id in {place}", "id_length")
        else:
            for entry in value:
                _check(entry, limits, place)
    elif isinstance(value, Mapping):
        _within(len(value), limits.ids, f"the number of {place}", "ids")
        for name, entry in value.items():
            _within(len(name), limits.id_length, f"the length of a name in {place}", "id_length")
            _check(entry, limits, place)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _check(getattr(value, name), limits, f"{place}.{name}" if place else name)


def _within(value: int, limit: int, what: str, name: str) -> None:
    if value > limit:
        raise ConfigError(
            f"{what} is {value:,}, the service allows {limit:,} (service.limits.{name}): ask for less, or in several "
            "requests"
        )
