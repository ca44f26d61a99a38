"""Looking items up in lists."""

from __future__ import annotations

import numpy as np
import pytest

from kg import RaggedArray
from recall.quality import places
from recall.quality.places import ABSENT, Places


@pytest.mark.parametrize("cells", [1, 1 << 23])
def test_places_are_those_of_a_loop_and_the_array_is_left_clean(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(places, "_CELLS", cells)
    random = np.random.default_rng(0)
    lookup = Places(30)
    for _ in range(3):
        lists = np.stack([random.permutation(30)[:6] for _ in range(9)])
        lists[::2, 4:] = -1
        asked = np.stack([random.permutation(30)[:12] for _ in range(9)])
        asked[:, 7] = -1
        expected = [
            [row.index(item) if item >= 0 and item in row else ABSENT for item in wanted]
            for row, wanted in zip(lists.tolist(), asked.tolist(), strict=True)
        ]
        assert lookup.of(lists, asked).tolist() == expected
        truth = RaggedArray.from_lists([sorted(row[:3]) for row in lists[:, :3].tolist()])
        assert (lookup.inside(truth, asked) == truth.contains(asked)).all()
