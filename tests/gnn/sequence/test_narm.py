"""The attention of NARM beside the sums of the paper."""

from __future__ import annotations

import torch

from gnn.sequence.narm import NARM
from gnn.sequence.settings import NARMConfig


def test_the_states_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    model = NARM(NARMConfig(dim=4, dropout=0.0)).double().eval()
    vectors = torch.randn(2, 5, 4, dtype=torch.float64)
    found = model(vectors, torch.zeros(2, 5).long())
    hidden, _ = model.layers(vectors * 2)  # the square root of dim
    for row in range(2):
        for now in range(5):
            of_now = torch.zeros(4, dtype=torch.float64)
            for before in range(now + 1):
                sum_of_both = model.of_now(hidden[row, now]) + model.of_before(hidden[row, before])
                of_now += model.weights(torch.sigmoid(sum_of_both)) * hidden[row, before]
            expected = model.out(torch.cat([hidden[row, now], of_now]))
            torch.testing.assert_close(found[row, now], expected)
