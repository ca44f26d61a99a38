"""What every model keeps to: order, padding, shapes."""

from __future__ import annotations

import pytest
import torch

from gnn.sequence.backbone import Backbone
from gnn.sequence.models import MODELS, backbone_of
from gnn.sequence.padding import PAD
from gnn.sequence.preparation import NextItem
from tests.gnn.sequence.making import CONFIGS

CPU = torch.device("cpu")


def started(name: str, seed: int = 0) -> Backbone:
    config = CONFIGS[name]
    return backbone_of(config).started(config, seed=seed, device=CPU, dtype=torch.float64).eval()


CAUSAL = [name for name in CONFIGS if isinstance(started(name).preparator, NextItem)]


def inputs(rows: int = 3, length: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, length, 8, dtype=torch.float64, generator=generator), torch.ones(rows, length).long()


def test_every_model_is_tested() -> None:
    assert {type(config) for config in CONFIGS.values()} == set(MODELS)


@pytest.mark.parametrize("name", CAUSAL)
def test_a_later_item_never_influences_an_earlier_state(name: str) -> None:
    backbone, (vectors, items) = started(name), inputs()
    before = backbone(vectors, items)
    for place in range(6):
        other = vectors.clone()
        other[:, place:] = torch.randn_like(other[:, place:])
        after = backbone(other, items)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-12)
        assert (after[:, place] - before[:, place]).abs().max() > 1e-3


@pytest.mark.parametrize("name", CONFIGS)
def test_every_earlier_item_counts(name: str) -> None:
    backbone, (vectors, items) = started(name), inputs()
    before = backbone(vectors, items)[:, -1]
    for place in range(6):
        other = vectors.clone()
        other[:, place] *= -1
        assert (backbone(other, items)[:, -1] - before).abs().max() > 1e-6


@pytest.mark.parametrize("name", CONFIGS)
def test_padding_changes_nothing(name: str) -> None:
    backbone, (vectors, items) = started(name), inputs()
    short = backbone(vectors[:, :4], items[:, :4])
    padded_items = items.clone()
    padded_items[:, 4:] = PAD
    padded_vectors = vectors.clone()
    padded_vectors[:, 4:] = 0
    torch.testing.assert_close(backbone(padded_vectors, padded_items)[:, :4], short, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_order_of_the_items_matters(name: str) -> None:
    backbone, (vectors, items) = started(name), inputs()
    swapped = vectors[:, [1, 0, 2, 3, 4, 5]]
    assert (backbone(swapped, items)[:, -1] - backbone(vectors, items)[:, -1]).abs().max() > 1e-6


@pytest.mark.parametrize("name", CONFIGS)
def test_the_start_depends_on_the_seed_alone(name: str) -> None:
    first = started(name).state_dict()
    torch.manual_seed(123)
    again, other = started(name).state_dict(), started(name, seed=1).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
