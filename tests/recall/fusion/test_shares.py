"""The split of a fused score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kg.arrays import RaggedArray
from kg.errors import UnknownIdError
from recall.channels import Popularity
from recall.contracts import FitData, FusedShares, NoShares
from tests.recall.channels.making import pair_queries
from tests.recall.fusion.oracle import WEIGHTS, answers, table_of


class TestExplain:
    def test_parts_are_the_channels_own_shares_scaled_to_add_up(self, channels, fused, graph, everybody):
        fusion = fused(depth=9)
        served = answers(fusion, graph, everybody, k=6)
        pairs = [(user, item) for user, rows in enumerate(served) for item, _, _ in rows]
        scores = [score for rows in served for _, score, _ in rows]
        tables = {name: table_of(channel, everybody, graph) for name, channel in channels.items()}
        seen = RaggedArray.from_pairs(graph.interactions.user, graph.interactions.item, num_rows=len(graph.users))
        plain = {name: channel.attribute(*pair_queries(pairs)) for name, channel in channels.items()}
        splits = fusion.attribute(*pair_queries(pairs))
        for at, ((user, item), (source, split, _)) in enumerate(zip(pairs, splits, strict=True)):
            assert source == "fusion"
            assert isinstance(split, FusedShares)
            assert [(part.channel, part.weight) for part in split.parts] == list(WEIGHTS.items())
            absolute = 0.0
            total, history = 0.0, {}
            for part in split.parts:
                scores_of = tables[part.channel][everybody.key[user]]
                best = sorted(
                    (value for other, value in scores_of.items() if other not in set(seen[user])), reverse=True
                )
                reference = (best[:9] + [0.0] * 9)[:9]
                own = plain[part.channel][at]
                factor = WEIGHTS[part.channel] / np.std(reference)
                assert part.shares.score == pytest.approx(own.score * factor, rel=1e-5, abs=1e-7)
                ratio = part.shares.score / own.score if own.score else factor
                for ours, theirs in zip(part.shares.history, own.history, strict=True):
                    assert ours[:2] == theirs[:2]
                    assert ours.value == pytest.approx(theirs.value * ratio, rel=1e-9, abs=1e-12)
                    history[ours[:2]] = history.get(ours[:2], 0.0) + ours.value
                    absolute += abs(ours.value)
                total += part.shares.own + math.fsum(share.value for share in part.shares.history)
                absolute += abs(part.shares.own)
            assert total == pytest.approx(split.score, abs=1e-9 * absolute)
            assert split.score == pytest.approx(scores[at], abs=1e-4 * absolute)
            assert {share[:2]: share.value for share in split.history} == pytest.approx(history, rel=1e-9, abs=1e-12)
            assert item not in seen[user]

    def test_pair_shares_of_all_channels_meet_on_their_first_hops(self, channels, fused):
        again = {"lightgcn": channels["lightgcn"], "twin": channels["lightgcn"], "item_knn": channels["item_knn"]}
        fusion = fused(None, kinds=again)
        ((_, split, _),) = fusion.attribute(*pair_queries([(3, 11)]))
        parts = {part.channel: part.shares for part in split.parts}
        rows = {share[:2]: row for row, share in enumerate(split.history)}
        columns = {share[:2]: column for column, share in enumerate(split.neighbours)}
        assert len(columns) == len(split.neighbours)
        assert len(rows) == len(split.history)
        expected = np.zeros(split.pairs.shape)
        for shares in parts.values():
            for j, ours in enumerate(shares.history):
                for n, theirs in enumerate(shares.neighbours):
                    expected[rows[ours[:2]], columns[theirs[:2]]] += shares.pairs[j, n]
        np.testing.assert_allclose(split.pairs, expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(split.cross, np.sum([shares.cross for shares in parts.values()], axis=0))
        np.testing.assert_allclose(
            split.pairs.sum() + sum(split.cross), split.score, atol=1e-9 * np.abs(split.pairs).sum()
        )

    def test_what_a_channel_does_not_split_stands_apart(self, channels, fused, graph):
        kinds = {"item_knn": channels["item_knn"], "popularity": Popularity().fit(FitData.of(graph))}
        fusion = fused(None, 30, kinds)
        item = int(np.argmax(np.bincount(graph.interactions.item[graph.interactions.positive])))
        ((_, split, _),) = fusion.attribute(*pair_queries([(0, item)]))
        popularity = split.parts[1].shares
        assert isinstance(popularity, NoShares)
        assert "like" in popularity.reason
        assert split.unsplit == popularity.score > 0
        assert split.own + math.fsum(s.value for s in split.history) + split.unsplit == pytest.approx(split.score)

    def test_where_nobody_splits_it_says_why(self, fused, graph):
        popular = Popularity().fit(FitData.of(graph))
        ((_, split, _),) = fused(None, kinds={"popularity": popular, "again": popular}).attribute(
            *pair_queries([(0, 5)])
        )
        assert isinstance(split, NoShares)
        assert "popular" in split.reason
        assert split.score > 0

    def test_pairs_that_do_not_exist_are_refused(self, fused):
        fusion = fused(None)
        for pair in ((25, 0), (0, 60), (0, -1)):
            with pytest.raises(UnknownIdError, match="was asked for, but there are"):
                fusion.attribute(*pair_queries([pair]))

    def test_no_pairs_have_no_reasons(self, fused):
        assert fused(None).attribute(*pair_queries([])) == []
