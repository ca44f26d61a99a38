"""Items that no list shows go to the users in whose ranking they stand highest."""

from __future__ import annotations

import numpy as np
import pytest

from kg import RaggedArray
from kg.errors import ArtifactError, ConfigError
from recall.channels import ItemKNN, Overlooked, OverlookedConfig, Popularity
from recall.channels.arrays import load_arrays, save_arrays
from recall.contracts import FitData, LoadData, Query
from recall.control.control import Control
from recall.control.settings import ControlSettings, Quota
from recall.fusion import FusionConfig
from recall.pipeline import Pipeline
from tests.recall.channels.making import fit_data, seen_by

SHOWN, USERS, DEPTH = 5, 2, 30
CONFIG = OverlookedConfig(ranking="item_knn", shown=SHOWN, users=USERS, depth=DEPTH)


@pytest.fixture(scope="module")
def data(graph) -> FitData:
    return fit_data(graph)


@pytest.fixture(scope="module")
def places(graph, data) -> dict[int, dict[int, int]]:
    """Item -> user -> place in the ranking of the user, as far down as is looked."""
    ranking = ItemKNN().fit(data).score(Query.of_positions(np.arange(len(graph.users))))
    found: dict[int, dict[int, int]] = {}
    for user, items in enumerate(ranking.top(DEPTH, exclude=seen_by(graph)).items.tolist()):
        for place, item in enumerate(items):
            if item >= 0:
                found.setdefault(item, {})[user] = place
    return found


def test_each_item_that_no_list_shows_has_its_best_users(graph, data, places):
    channel = Overlooked(CONFIG).fit(data)
    everything = np.tile(np.arange(len(graph.items)), (len(graph.users), 1))
    scores = channel.score(Query.of_positions(np.arange(len(graph.users)))).at(everything)
    expected = np.zeros_like(scores)
    for item, of_user in places.items():
        if min(of_user.values()) < SHOWN:
            continue
        for user, place in of_user.items():
            better = sum(other < place for other in of_user.values())
            expected[user, item] = 1 / (1 + better) if better < USERS else 0
    assert expected.any()
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    shown = sum(min(of_user.values()) < SHOWN for of_user in places.values())
    assert channel.facts == {"items": len(graph.items), "shown": shown, "given": len(places) - shown}


def test_somebody_new_has_the_place_that_the_ranking_gives(graph, data):
    channel = Overlooked(CONFIG).fit(data)
    users = np.arange(len(graph.users))
    known = channel.score(Query.of_positions(users)).top(5, exclude=seen_by(graph))
    history = RaggedArray.from_lists([data.history.liked[user].tolist() for user in users.tolist()])
    people = Query.of_histories([f"new {user}" for user in users.tolist()], history, seen=seen_by(graph))
    new = channel.score(people).top(5, exclude=seen_by(graph))
    np.testing.assert_array_equal(known.items, new.items)


def test_a_quota_brings_every_item_to_somebody(graph, data):
    """Without it the lists of the most liked items leave most of the catalogue to nobody."""
    popular, few = Popularity().fit(data), Overlooked(OverlookedConfig(ranking="item_knn", shown=1, users=3)).fit(data)
    pipeline = Pipeline([popular, few], data.history, fusion=FusionConfig(weights={"popularity": 1.0, "overlooked": 0}))
    queries = Query.of_positions(np.arange(len(graph.users)))
    reached = []
    for quotas in ((), (Quota(name="what nobody sees", channel="overlooked", at_least=6),)):
        control = Control(ControlSettings(quotas=quotas), graph, pipeline)
        reached.append(set(control.recommend(queries, k=10).item.tolist()))
    assert reached[1] > reached[0]
    given = {item for item, row in enumerate(few._best) if 0 <= row[0] < np.iinfo(np.int32).max}
    assert len(given - reached[1]) < len(given - reached[0]) / 4


def test_it_says_why_no_score_splits(graph, data):
    channel = Overlooked(CONFIG).fit(data)
    queries = Query.of_positions(np.arange(len(graph.users)))
    best = channel.score(queries).top(1, exclude=seen_by(graph))
    rows = np.flatnonzero(best.items[:, 0] >= 0)
    shares = channel.attribute(queries.take(rows), best.items[rows, 0])
    assert [share.score for share in shares] == pytest.approx(best.scores[rows, 0].tolist())
    assert {share.reason for share in shares} == {
        "no list of 5 shows it, and few users have it higher in their ranking"
    }


def test_a_damaged_file_is_refused(graph, data, tmp_path):
    Overlooked(CONFIG).fit(data).save(tmp_path)
    best = load_arrays(tmp_path / "places.safetensors")["best"]
    save_arrays(tmp_path / "places.safetensors", {"best": best[:, :1]})
    with pytest.raises(ArtifactError, match="is damaged: fit the channel again"):
        Overlooked.load(tmp_path, LoadData.of(graph))


@pytest.mark.parametrize("wrong", [{"ranking": "popularity"}, {"users": 0}, {"shown": 0}, {"depth": 1}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        OverlookedConfig(**wrong)
