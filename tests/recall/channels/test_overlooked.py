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


def test_each_item_that_no_list_shows_is_given_to_users_who_rank_it_high(graph, data, places):
    channel = Overlooked(CONFIG).fit(data)
    everything = np.tile(np.arange(len(graph.items)), (len(graph.users), 1))
    scores = channel.score(Query.of_positions(np.arange(len(graph.users)))).at(everything)
    hidden = {item: of_user for item, of_user in places.items() if min(of_user.values()) >= SHOWN}
    assert hidden
    assert set(np.flatnonzero(scores.any(axis=0)).tolist()) <= set(hidden)
    room = -(-len(hidden) // len(graph.users))
    for value in (1.0, 0.5):
        user, item = np.nonzero(scores == value)
        assert len(set(item.tolist())) == len(item)  # the first and the second user of an item
        assert np.bincount(user).max() <= room
    first = {item: user for user, item in zip(*(each.tolist() for each in np.nonzero(scores == 1)), strict=True)}
    for item, of_user in hidden.items():
        for user, place in of_user.items():
            if item in first and place >= of_user[first[item]]:
                continue  # its own user has it as high
            own = [other for other, owner in first.items() if owner == user]
            assert len(own) == room, "a user who ranks it higher had room"
            assert all(hidden[other][user] < place for other in own), "a user who ranks it higher has a worse item"
    shown = sum(min(of_user.values()) < SHOWN for of_user in places.values())
    assert channel.facts == {"items": len(graph.items), "shown": shown, "given": len(first)}


def test_somebody_new_has_the_place_that_the_ranking_gives(graph, data):
    channel = Overlooked(CONFIG).fit(data)
    users = np.arange(len(graph.users))
    history = RaggedArray.from_lists([data.history.liked[user].tolist() for user in users.tolist()])
    people = Query.of_histories([f"new {user}" for user in users.tolist()], history, seen=seen_by(graph))
    ranked = ItemKNN().fit(data).score(people).top(DEPTH, exclude=seen_by(graph)).items
    new, own = channel.score(people), channel.score(Query.of_positions(users))
    for row, items in enumerate(ranked.tolist()):
        for place, item in enumerate(items):
            if item >= 0:
                higher = int((channel._places[item] < place).sum())
                assert new.at(np.array([[item]] * len(users)))[row, 0] == (1 / (1 + higher) if higher < USERS else 0)
    # Users of the graph beside somebody new are answered as alone.
    both = Query(
        key=["", *people.key[:1]],
        user=np.array([3, -1]),
        history=RaggedArray.from_lists([[], history[0].tolist()]),
        seen=seen_by(graph).take(np.array([3, 0])),
    )
    everything = np.tile(np.arange(len(graph.items)), (2, 1))
    expected = np.stack(
        [own.at(np.tile(everything[0], (len(users), 1)))[3], new.at(np.tile(everything[0], (len(users), 1)))[0]]
    )
    np.testing.assert_array_equal(channel.score(both).at(everything), expected)


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
    given = set(np.flatnonzero(few._users[:, 0] >= 0).tolist())
    assert given - reached[0]
    assert given <= reached[1]


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


@pytest.mark.parametrize(
    "damage",
    [
        lambda users, places: (users[:, :1], places[:, :1]),
        lambda users, places: (users[1:], places[1:]),
        lambda users, places: (np.where(users < 0, users, 10_000), places),
    ],
)
def test_a_damaged_file_is_refused(graph, data, tmp_path, damage):
    Overlooked(CONFIG).fit(data).save(tmp_path)
    arrays = load_arrays(tmp_path / "places.safetensors")
    damaged = damage(arrays["users"], arrays["places"])
    save_arrays(tmp_path / "places.safetensors", dict(zip(("users", "places"), damaged, strict=True)))
    with pytest.raises(ArtifactError, match="is damaged, or of another graph: fit the channel again"):
        Overlooked.load(tmp_path, LoadData.of(graph))


@pytest.mark.parametrize("wrong", [{"ranking": "popularity"}, {"users": 0}, {"shown": 0}, {"depth": 1}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        OverlookedConfig(**wrong)
