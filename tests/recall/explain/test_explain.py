from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from gnn.graph.lightgcn import LightGCNConfig
from gnn.graph.shares import split_scores
from gnn.settings import TrainingConfig
from gnn.training.context import RunContext
from kg import KnowledgeGraph, RelationKey
from kg.errors import ConfigError, UnknownIdError
from kg.topology.adjacency import Adjacency
from kg.topology.paths import Path, PathFinder, Step, path_exists
from recall.channels import EmbeddingChannel, Popularity
from recall.contracts import NoShares, Queries, Shares
from recall.explain.explainer import Explainer
from recall.explain.explanation import Explanation

Model = Callable[..., Embeddings]

RATED = RelationKey("user", "rated", "movie")
TAGGED = RelationKey("user", "tagged", "movie")
GENRE = RelationKey("movie", "genre", "genre")
DIRECTOR = RelationKey("movie", "director", "person")
STARRING = RelationKey("movie", "starring", "person")
SEQUEL = RelationKey("movie", "sequel_of", "movie")
HAS_TAG = RelationKey("movie", "has_tag", "tag")


@pytest.fixture(scope="module")
def channel(toy_graph: KnowledgeGraph, linear_model: Model) -> EmbeddingChannel:
    return EmbeddingChannel.of(linear_model(toy_graph), toy_graph)


@pytest.fixture(scope="module")
def explainer(toy_graph: KnowledgeGraph, channel: EmbeddingChannel) -> Explainer:
    return Explainer(toy_graph, channel)


@pytest.fixture(scope="module")
def every(explainer: Explainer) -> list[Explanation]:
    """Many pairs, with more paths than there are."""
    return explainer.explain([(f"u{user}", f"m{item}") for user in range(0, 30, 5) for item in range(40)], paths=500)


def absolute(graph: KnowledgeGraph, channel: EmbeddingChannel, explanation: Explanation) -> float:
    pair = (int(graph.users.index([explanation.user_id])[0]), int(graph.items.index([explanation.item_id])[0]))
    (shares,) = split_scores(channel.embeddings, Adjacency.of(graph), [pair])
    assert isinstance(shares, Shares)
    return float(np.abs(shares.pairs).sum()) + sum(map(abs, shares.cross))


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for entry in value.values() for text in strings(entry)]
    if isinstance(value, list | tuple):
        return [text for entry in value for text in strings(entry)]
    return [value] if isinstance(value, str) else []


def users_named(texts: Sequence[str]) -> set[str]:
    return {found for text in texts for found in re.findall(r"\bu\d+\b", text)}


def test_shares_add_up_to_the_score_that_was_recommended(toy_graph: KnowledgeGraph) -> None:
    trained = EmbeddingChannel(
        LightGCNConfig(dim=8, layers=2), TrainingConfig(batch_size=64), steps=5, context=RunContext(device="cpu")
    ).fit(toy_graph)
    users = np.arange(10)
    rows = list(trained.recommend(Queries.of_users(users, toy_graph.users), k=6))
    assert len(rows) == 60
    explanations = Explainer(toy_graph, trained).explain([(row["user_id"], row["item_id"]) for row in rows])
    for row, explanation in zip(rows, explanations, strict=True):
        tolerance = 1e-4 * absolute(toy_graph, trained, explanation)
        assert explanation.reason is None
        for reasons in (explanation.history, explanation.neighbours):
            assert abs(sum(reason.share for reason in reasons) - row["score"]) <= tolerance
        assert abs(explanation.score - row["score"]) <= tolerance
        assert explanation.source == row["source"]


def test_because_names_every_first_hop_once(toy_graph: KnowledgeGraph, every: list[Explanation]) -> None:
    adjacency = Adjacency.of(toy_graph)
    for explanation in every[::7]:
        node = adjacency.numbering.span("user").start + int(toy_graph.users.index([explanation.user_id])[0])
        at = adjacency.at(node)
        hops = {
            (
                adjacency.relations[kind],
                toy_graph.items.ids[int(other - adjacency.numbering.span("movie").start)].as_py(),
            )
            for kind, other in zip(adjacency.relation[at], adjacency.neighbour[at], strict=True)
        }
        named = [(r.relation, r.node.id) for r in explanation.history if r.node is not None]
        assert len(named) == len(set(named))
        assert set(named) == hops
        assert explanation.history[-1].relation is None
        shares = [reason.share for reason in explanation.history[:-1]]
        assert shares == sorted(shares, reverse=True)


def test_fractions_are_shares_of_the_score(every: list[Explanation]) -> None:
    signs = set()
    for explanation in every:
        signs.add(explanation.score > 0)
        for reason in (*explanation.history, *explanation.neighbours):
            if explanation.score > 0:
                assert reason.fraction == pytest.approx(reason.share / explanation.score)
            else:
                assert reason.fraction is None
                assert "% of the score" not in reason.line
    assert signs == {True, False}


def test_linked_fraction_against_a_plain_search(
    toy_graph: KnowledgeGraph, channel: EmbeddingChannel, every: list[Explanation]
) -> None:
    adjacency = Adjacency.of(toy_graph)
    edges = set()
    for key in toy_graph.edges:
        for source, target in zip(*toy_graph.positive_edges(key), strict=True):
            a, b = (
                adjacency.numbering.span(key.source).start + source,
                adjacency.numbering.span(key.target).start + target,
            )
            edges |= {(int(a), int(b)), (int(b), int(a))}
    fractions = []
    for explanation in every[::5]:
        user = int(toy_graph.users.index([explanation.user_id])[0])
        item = int(toy_graph.items.index([explanation.item_id])[0])
        ends = {adjacency.numbering.span("user").start + user, adjacency.numbering.span("movie").start + item}
        (shares,) = split_scores(channel.embeddings, adjacency, [(user, item)])
        assert isinstance(shares, Shares)
        linked = linked_absolute = 0.0
        for j, left in enumerate(shares.history):
            for k, right in enumerate(shares.neighbours):
                joined = left.node == right.node or (left.node, right.node) in edges
                if joined and not {left.node, right.node} & ends:
                    linked += shares.pairs[j, k]
                    linked_absolute += abs(shares.pairs[j, k])
        total = float(np.abs(shares.pairs).sum()) + sum(map(abs, shares.cross))
        assert explanation.linked == pytest.approx(linked)
        assert explanation.linked_fraction == pytest.approx(linked_absolute / total)
        fractions.append(linked_absolute / total)
    assert 0 < max(fractions) < 1


def test_paths_are_all_there_are_and_exist_in_the_tables(toy_graph: KnowledgeGraph, every: list[Explanation]) -> None:
    numbering = Adjacency.of(toy_graph).numbering
    finder = PathFinder(Adjacency.of(toy_graph), max_hops=3, hub_limit=None, excluded=("user",))
    for explanation in every[::12]:
        single = [path for path in explanation.paths if not path.users]
        found = set()
        for path in single:
            nodes = [
                numbering.span(node.type).start + int(toy_graph.vocabulary(node.type).index([node.id])[0])
                for node in path.nodes
            ]
            steps = tuple(
                Step(a, b, hop.relation, hop.forward) for a, b, hop in zip(nodes, nodes[1:], path.steps, strict=False)
            )
            assert path_exists(toy_graph, Path(steps))
            found.add(Path(steps))
            assert list(path.cypher.parameters.values())[: len(nodes)] == [node.id for node in path.nodes]
        source = numbering.span("user").start + int(toy_graph.users.index([explanation.user_id])[0])
        target = numbering.span("movie").start + int(toy_graph.items.index([explanation.item_id])[0])
        assert found == set(finder.between(source, target))
        assert len(found) == len(single) == explanation.paths_found
        assert (explanation.query is None) == (not found)


def test_paths_carry_the_share_of_their_outer_hops_once(
    toy_graph: KnowledgeGraph, channel: EmbeddingChannel, every: list[Explanation]
) -> None:
    adjacency = Adjacency.of(toy_graph)

    def number(node: Any) -> int:
        return adjacency.numbering.span(node.type).start + int(toy_graph.vocabulary(node.type).index([node.id])[0])

    repeats = 0
    for explanation in every[::3]:
        user = int(toy_graph.users.index([explanation.user_id])[0])
        item = int(toy_graph.items.index([explanation.item_id])[0])
        (shares,) = split_scores(channel.embeddings, adjacency, [(user, item)])
        assert isinstance(shares, Shares)
        left = {(share.node, share.relation): row for row, share in enumerate(shares.history)}
        right = {(share.node, share.relation): row for row, share in enumerate(shares.neighbours)}
        seen: dict[Any, int] = {}
        single = [path for path in explanation.paths if not path.users]
        for place, path in enumerate(single):
            if len(path.steps) == 1:
                assert path.share is None
                continue
            j = left[number(path.nodes[1]), path.steps[0].relation]
            k = right[number(path.nodes[-2]), path.steps[-1].relation]
            assert path.share == pytest.approx(shares.pairs[j, k])
            assert path.repeats == seen.get((j, k))
            seen.setdefault((j, k), place)
            repeats += path.repeats is not None
        ordered = [path.share for path in single if path.share is not None]
        assert ordered == sorted(ordered, reverse=True)
    assert repeats > 0


def test_users_of_both_are_counted_by_hand(
    toy_graph: KnowledgeGraph, channel: EmbeddingChannel, every: list[Explanation]
) -> None:
    user, item = toy_graph.positive_edges(RATED)
    likes = {(int(u), int(i)) for u, i in zip(user, item, strict=True)}
    adjacency = Adjacency.of(toy_graph)
    counted = 0
    for explanation in every[::4]:
        me = int(toy_graph.users.index([explanation.user_id])[0])
        it = int(toy_graph.items.index([explanation.item_id])[0])
        (shares,) = split_scores(channel.embeddings, adjacency, [(me, it)])
        assert isinstance(shares, Shares)
        naive = {}
        for movie in range(40):
            if (me, movie) not in likes or movie == it:
                continue
            others = {u for u in range(30) if u != me and (u, movie) in likes and (u, it) in likes}
            if not others:
                continue
            start = adjacency.numbering.span("movie").start
            people = {adjacency.numbering.span("user").start + u for u in others}
            naive[toy_graph.items.ids[movie].as_py()] = (
                len(others),
                sum(
                    shares.pairs[j, k]
                    for j, left in enumerate(shares.history)
                    for k, right in enumerate(shares.neighbours)
                    if (left.node, left.relation) == (start + movie, RATED)
                    and right.node in people
                    and right.relation == RATED
                ),
            )
        told = {path.nodes[1].id: (path.users, path.share) for path in explanation.paths if path.users}
        assert told.keys() == naive.keys()
        for name, (count, share) in naive.items():
            assert told[name][0] == count
            assert told[name][1] == pytest.approx(share)
            counted += 1
    assert counted > 20


def test_no_other_user_is_named_unless_asked(explainer: Explainer, every: list[Explanation]) -> None:
    assert any(path.users for explanation in every for path in explanation.paths)
    for explanation in every[::3]:
        everything = [*strings(explanation.to_json()), explanation.text, str(explanation), repr(explanation)]
        assert users_named(everything) <= {explanation.user_id}
    named = set()
    for explanation in explainer.explain([("u3", f"m{item}") for item in range(10)], show_users=True):
        named |= users_named([explanation.text])
        for path in explanation.paths:
            assert len(path.user_ids) == path.users
            assert users_named(strings(path.cypher.parameters)) <= {"u3"}
        # the shares of others are told one by one
        assert not any(reason.users for reason in explanation.neighbours)
    assert named > {"u3"}


def test_english(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    def only(key: RelationKey, *pairs: tuple[str, str]) -> Any:
        ends = (toy_graph.vocabulary(key.source), toy_graph.vocabulary(key.target))
        columns = [pa.array(v.index([pair[n] for pair in pairs])) for n, v in enumerate(ends)]
        table = pa.table({"src": columns[0], "dst": columns[1]})
        if key == RATED:
            table = table.append_column("rating", pa.array([5.0] * len(pairs)))
        return table.append_column("user", pa.array([1] * len(pairs))) if key == HAS_TAG else table

    titles = [f"Movie {name}" for name in toy_graph.items.ids.to_pylist()]
    movies = toy_graph.nodes["movie"]
    movies = movies.set_column(movies.column_names.index("title"), "title", pa.array(titles))
    edges = {
        RATED: only(RATED, ("u1", "m1"), ("u2", "m1"), ("u2", "m3"), ("u1", "m2"), ("u4", "m3"), ("u4", "m1")),
        TAGGED: only(TAGGED, ("u1", "m5")),
        GENRE: only(GENRE, ("m1", "drama"), ("m3", "drama")),
        DIRECTOR: only(DIRECTOR, ("m2", "p1")),
        STARRING: only(STARRING, ("m3", "p1")),
        SEQUEL: only(SEQUEL, ("m3", "m2")),
        HAS_TAG: only(HAS_TAG, ("m5", "slow")),
    }
    graph = KnowledgeGraph(toy_graph.schema, {**toy_graph.nodes, "movie": movies}, edges)
    channel = EmbeddingChannel.of(linear_model(graph), graph)
    (explanation,) = Explainer(graph, channel).explain([("u1", "m3")])
    assert {path.text for path in explanation.paths} == {
        "you liked Movie m1; Movie m1 has genre Drama, like Movie m3",
        "you liked Movie m2; Movie m2 is directed by Person p1; Movie m3 stars Person p1",
        "you liked Movie m2; Movie m3 is a sequel of Movie m2",
        "2 other users liked both Movie m1 and Movie m3",
    }
    assert {reason.text for reason in explanation.history} == {
        "you liked Movie m1",
        "you liked Movie m2",
        "you tagged Movie m5",
        "of what the model learned about you alone",
    }
    assert {reason.text for reason in explanation.neighbours} == {
        "2 other users liked it",
        "it has genre Drama",
        "it stars Person p1",
        "it is a sequel of Movie m2",
        "of what the model learned about it alone",
    }
    before, after = explanation.text.split("Connected by")
    assert before.startswith("Movie m3 (m3) for user u1: score ")
    assert "because you liked Movie m1 (" in before
    assert "because" not in after.lower()
    assert "not causes of the score" in after
    assert "2 other users liked both Movie m1 and Movie m3 (their outer hops carry " in after
    assert re.search(r"joins carry \d+\.\d% of the absolute shares\.$", after)
    aggregated = next(path for path in explanation.paths if path.users)
    assert dict(aggregated.cypher.parameters) == {"user_id": "u1", "item_id": "m3", "history_id": "m1", "minimum": 4.0}
    assert explanation.query is not None
    assert dict(explanation.query.parameters) == {"user_id": "u1", "item_id": "m3", "minimum": 4.0}
    assert json.loads(json.dumps(explanation.to_json())) == explanation.to_json()

    (seen,) = Explainer(graph, channel).explain([("u1", "m1")])
    direct = next(path for path in seen.paths if len(path.steps) == 1)
    assert (direct.text, direct.share) == ("you liked Movie m1", None)
    assert "you liked it" in {reason.text for reason in seen.neighbours}


def test_phrases_follow_their_subject(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    for phrase, you, they in (
        ("has rated", "you have rated", "have rated"),
        ("watches", "you watch", "watch"),
        ("likes", "you like", "like"),
        ("enjoys", "you enjoy", "enjoy"),
        ("tries", "you try", "try"),
        ("passed", "you passed", "passed"),
    ):
        relation = replace(toy_graph.schema.relations[RATED], phrase=phrase)
        graph = KnowledgeGraph(toy_graph.schema.with_(relations=[relation]), toy_graph.nodes, toy_graph.edges)
        channel = EmbeddingChannel.of(linear_model(graph), graph)
        (explanation,) = Explainer(graph, channel).explain([("u3", "m2")])
        assert any(reason.text.startswith(f"{you} The ") for reason in explanation.history)
        crowd = next(reason for reason in explanation.neighbours if reason.relation == RATED)
        assert crowd.text == f"{crowd.users} other users {they} it"


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Two\nlines\tand \x1b[31mred\x00", "Two lines and [31mred"),
        ("\u202egnp.exe", "gnp.exe"),
        ("long " * 40, "long " * 15 + "long…"),
        ("$x^2$ [bold]{id} `q` <b>", "$x^2$ [bold]{id} `q` <b>"),
        (" \n ", "m2"),
    ],
)
def test_hostile_titles_stay_on_their_line(
    toy_graph: KnowledgeGraph, linear_model: Model, title: str, shown: str
) -> None:
    movies = toy_graph.nodes["movie"]
    at = movies.column_names.index("title")
    titles = [
        title if name == "m2" else old
        for name, old in zip(*(movies[c].to_pylist() for c in ("id", "title")), strict=True)
    ]
    graph = KnowledgeGraph(
        toy_graph.schema,
        {**toy_graph.nodes, "movie": movies.set_column(at, "title", pa.array(titles))},
        toy_graph.edges,
    )
    channel = EmbeddingChannel.of(linear_model(graph), graph)
    (explanation,) = Explainer(graph, channel).explain([("u3", "m2")])
    assert explanation.item.title == shown
    assert explanation.text.startswith("m2 for user" if shown == "m2" else f"{shown} (m2) for user")
    lines = explanation.text.split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == len(explanation.text.splitlines())
    for query in [explanation.query, *(path.cypher for path in explanation.paths)]:
        assert query is None or title.strip() not in query.text or not title.strip()


def test_ids_with_quotes_reach_cypher_as_parameters_only(toy_graph: KnowledgeGraph, linear_model: Model) -> None:
    hostile = "m'2\"}) DETACH DELETE n //"
    movies = toy_graph.nodes["movie"]
    ids = [hostile if name == "m2" else name for name in movies["id"].to_pylist()]
    graph = KnowledgeGraph(
        toy_graph.schema, {**toy_graph.nodes, "movie": movies.set_column(0, "id", pa.array(ids))}, toy_graph.edges
    )
    (explanation,) = Explainer(graph, EmbeddingChannel.of(linear_model(graph), graph)).explain([("u3", hostile)])
    queries = [explanation.query, *(path.cypher for path in explanation.paths)]
    assert len(queries) > 3
    for query in queries:
        assert query is not None
        assert "DETACH" not in query.text
        assert hostile in query.parameters.values()


def test_an_item_without_attributes_a_cold_item_and_an_empty_history(
    toy_graph: KnowledgeGraph, linear_model: Model
) -> None:
    bare, cold, quiet = 3, 4, 5

    def kept(key: RelationKey, table: Any) -> np.ndarray:
        source, target = np.asarray(table["src"]), np.asarray(table["dst"])
        keep = np.ones(len(source), dtype=bool)
        for end, kind in ((source, key.source), (target, key.target)):
            if kind == "movie":
                keep &= end != bare if key not in (RATED, TAGGED) else end != cold
            if kind == "user":
                keep &= end != quiet
        return keep

    graph = toy_graph.keep_edges({key: kept(key, table) for key, table in toy_graph.edges.items()})
    graph = graph.without_relations({HAS_TAG})
    channel = EmbeddingChannel.of(linear_model(graph), graph)
    explain = Explainer(graph, channel).explain
    users, items = graph.users.ids.to_pylist(), graph.items.ids.to_pylist()

    (explanation,) = explain([(users[0], items[bare])])
    assert {reason.relation for reason in explanation.neighbours} <= {RATED, TAGGED, None}
    assert all(path.users for path in explanation.paths)
    assert "by" in explanation.text

    (explanation,) = explain([(users[0], items[cold])])
    assert not any(reason.users for reason in explanation.neighbours)
    assert not any(path.users for path in explanation.paths)
    assert any(path.share is not None for path in explanation.paths)

    (explanation,) = explain([(users[quiet], items[0])])
    assert len(explanation.history) == 1
    assert explanation.history[0].share == pytest.approx(explanation.score)
    assert explanation.paths == ()
    assert explanation.query is None
    assert explanation.linked_fraction == 0
    assert "no path of the graph" in explanation.text


def test_channels_without_shares_give_the_reason_and_the_paths(toy_graph: KnowledgeGraph) -> None:
    channel = Popularity().fit(toy_graph)
    ((reasonless,), (explanation,)) = channel.explain([(3, 2)]), Explainer(toy_graph, channel).explain([("u3", "m2")])
    assert isinstance(reasonless, NoShares)
    assert explanation.reason
    assert explanation.history == explanation.neighbours == ()
    assert explanation.linked_fraction is None
    assert len(explanation.paths) > 5
    assert all(path.share is None and "%" not in path.line for path in explanation.paths)
    assert "No shares: " in explanation.text
    assert explanation.to_json()["shares"] is None


def test_limits(explainer: Explainer) -> None:
    (few,) = explainer.explain([("u3", "m2")], paths=2)
    assert [path.users > 0 for path in few.paths].count(False) == 2
    assert f"and {few.paths_found - 2} more paths" in few.text
    (none,) = explainer.explain([("u3", "m2")], paths=0)
    assert none.paths == ()
    assert none.paths_found == few.paths_found
    (near,) = explainer.explain([("u3", "m2")], max_hops=2)
    assert all(len(path.steps) <= 2 for path in near.paths)
    (far,) = explainer.explain([("u3", "m2")], max_hops=4)
    assert far.paths_found > few.paths_found
    assert explainer.explain([]) == []
    cut = few.render(top=1)
    assert re.search(r"- and \d+ more \(", cut)
    assert len(cut.splitlines()) < len(few.text.splitlines())


def test_wrong_requests(explainer: Explainer) -> None:
    with pytest.raises(UnknownIdError, match="unknown user id: 'u99'"):
        explainer.explain([("u99", "m2")])
    with pytest.raises(UnknownIdError, match="unknown movie id: 'film'"):
        explainer.explain([("u3", "film")])
    with pytest.raises(ConfigError, match="max_hops = 9"):
        explainer.explain([("u3", "m2")], max_hops=9)
    with pytest.raises(ConfigError, match="paths = -1"):
        explainer.explain([("u3", "m2")], paths=-1)
