"""Published data sets: a few lines of each format, as its files are written, into the graph that is right."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ingest import DataSettings, QualityReport, build_graph
from kg import KnowledgeGraph, RelationKey
from kg.errors import InvalidDataError

NOW = 1_700_000_000
RATED = RelationKey("user", "rated", "item")


def build(folder: Path, format: str, files: dict[str, str | bytes]) -> tuple[KnowledgeGraph, QualityReport]:
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    settings = DataSettings(
        graph={"positive": "all"}, sources={"datasets": [{"format": format, "files": sorted(files)}]}
    )
    graph, report = build_graph(settings, base=folder, now=NOW)
    assert not [source for source in report.sources if source.set_aside], report.to_text()
    return graph, report


def edges(graph: KnowledgeGraph, source: str, name: str, target: str, *more: str) -> list[tuple[Any, ...]]:
    table = graph.edges[RelationKey(source, name, target)]
    ends = (
        graph.vocabulary(source).take(table["src"].to_numpy()).to_pylist(),
        graph.vocabulary(target).take(table["dst"].to_numpy()).to_pylist(),
    )
    return sorted(zip(*ends, *(table[column].to_pylist() for column in more), strict=True))


def attributes(graph: KnowledgeGraph, node: str, *columns: str) -> list[tuple[Any, ...]]:
    table = graph.nodes[node]
    return list(zip(table["id"].to_pylist(), *(table[column].to_pylist() for column in columns), strict=True))


RECBOLE = {
    "ml.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t4\t881250949\n1\t11\t3\t891717742.0\n2\t10\t5\t878887116\n",
    "ml.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tprice:float\n"
    '10\tToy "Story\t1995\tAnimation Comedy\t1.5\n11\tHeat\t1995\tComedy\t\n12\tUnseen\t1995\tAnimation Comedy\t2\n',
    "ml.user": "user_id:token\tage:token\tgender:token\n1\t24\tM\n2\t53\tF\n",
    "ml.kg": "head_id:token\trelation_id:token\ttail_id:token\n"
    "m.toy\tfilm.film.director\tm.john\nm.heat\tfilm.film.director\tm.michael\nm.john\tpeople.person.born\tm.boston\n"
    "m.pixar\tmade\tm.toy\nm.toy\tfollowed_by\tm.heat\n",
    "ml.link": "item_id:token\tentity_id:token\n10\tm.toy\n11\tm.heat\n",
    "ml.yaml": "load_col: nothing\n",
}


def test_recbole(tmp_path: Path) -> None:
    graph, report = build(tmp_path, "recbole", RECBOLE)
    assert edges(graph, *RATED, "rating", "timestamp") == [
        ("1", "10", 4.0, 881250949),
        ("1", "11", 3.0, 891717742),
        ("2", "10", 5.0, 878887116),
    ]
    assert attributes(graph, "item", "title", "class", "price") == [
        ("10", 'Toy "Story', ["Animation", "Comedy"], 1.5),
        ("11", "Heat", ["Comedy"], None),
        ("12", "Unseen", ["Animation", "Comedy"], 2.0),
    ]
    assert attributes(graph, "user", "gender") == [("1", "M"), ("2", "F")]
    assert graph.schema.node_types["item"].title == "title"
    assert edges(graph, "item", "class", "class") == [
        ("10", "Animation"), ("10", "Comedy"), ("11", "Comedy"), ("12", "Animation"), ("12", "Comedy")
    ]  # fmt: skip
    assert RelationKey("item", "release_year", "release_year") not in graph.edges, "one value tells nothing apart"
    assert edges(graph, "item", "film_film_director", "entity") == [("10", "m.john"), ("11", "m.michael")]
    assert edges(graph, "entity", "people_person_born", "entity") == [("m.john", "m.boston")]
    assert edges(graph, "entity", "made", "item") == [("m.pixar", "10")]
    assert edges(graph, "item", "followed_by", "item") == [("10", "11")]
    assert report.findings["files that are not read"].examples == ["ml.yaml"]


def test_recbole_splits_and_one_entity_that_is_two_items(tmp_path: Path) -> None:
    graph, _ = build(
        tmp_path,
        "recbole",
        {
            "d.train.inter.gz": "uid:token\tartist_id:token\tweight:float\nu\ta\t7\n",
            "d.test.inter": "uid:token\tartist_id:token\tweight:float\nu\tb\t2\n",
            "d.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.x\tr\tm.y\n",
            "d.link": "artist_id:token\tentity_id:token\na\tm.x\nb\tm.x\n",
        },
    )
    assert edges(graph, *RATED, "part", "weight") == [("u", "a", "train", 7.0), ("u", "b", "test", 2.0)]
    assert edges(graph, "item", "r", "entity") == [("a", "m.y"), ("b", "m.y")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.item": "item_id:token\nx\n"}, r"has no \*\.inter; its files are a\.item"),
        ({"a.inter": "user_id,item_id\n1,2\n"}, "has no type"),
        ({"a.inter": "user_id:token\n1\n"}, "no column of items"),
        ({"a.inter": "user_id:token\titem_id:token\nu\ti\n", "a.kg": "h:token\tt:token\na\tb\n"}, "2 columns"),
    ],
)
def test_recbole_files_that_are_none(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        build(tmp_path, "recbole", files)


KGAT: dict[str, str | bytes] = {
    "train.txt": "0 0 2\n1 1\n",
    "test.txt": "0 1\n1\n",
    "item_list.txt": "org_id remap_id freebase_id\nB0 0 m.0\nB1 1 m.1\nB2 2 m.2\nB3 3 m.3\n",
    "user_list.txt": "org_id remap_id\nann 0\nbob 1\n",
    "entity_list.txt": "org_id remap_id\nm.0 0\nm.1 1\nm.2 2\nm.3 3\nm.a 4\nm.b 5\n",
    "relation_list.txt": "org_id remap_id\nhttp://x.org/ns#genre 0\nhttp://y.org/genre 1\n",
    "kg_final.txt": "0 0 4\n3 0 4\n4 1 5\n1 1 2\n5 0 1\n",
}


def test_kgat(tmp_path: Path) -> None:
    graph, report = build(tmp_path, "kgat", KGAT)
    assert edges(graph, *RATED, "part") == [
        ("0", "0", "train"), ("0", "1", "test"), ("0", "2", "train"), ("1", "1", "train")
    ]  # fmt: skip
    assert attributes(graph, "item", "original_id") == [("0", "B0"), ("1", "B1"), ("2", "B2"), ("3", "B3")]
    assert attributes(graph, "entity", "original_id") == [("4", "m.a"), ("5", "m.b")], "items are no entities as well"
    assert attributes(graph, "user", "original_id") == [("0", "ann"), ("1", "bob")]
    assert edges(graph, "item", "genre", "entity") == [("0", "4"), ("3", "4")]
    assert edges(graph, "entity", "genre_1", "entity") == [("4", "5")], "another relation with the same last part"
    assert edges(graph, "item", "genre_1", "item") == [("1", "2")]
    assert edges(graph, "entity", "genre", "item") == [("5", "1")]
    assert "files that are not read" not in report.findings


def test_kgat_without_lists_takes_the_largest_item_of_the_interactions(tmp_path: Path) -> None:
    graph, _ = build(tmp_path, "kgat", {"train.txt": "0 0\n", "test.txt": "0 2\n", "kg_final.txt": "1 7 3\n2 7 3\n"})
    assert edges(graph, "item", "relation_7", "entity") == [("1", "3"), ("2", "3")]


def test_kgcn_leaves_sampled_negatives_out(tmp_path: Path) -> None:
    graph, _ = build(
        tmp_path,
        "kgat",
        {"ratings_final.txt": "0\t1\t1\n0\t2\t0\n1\t3\t1\n", "kg_final.txt": "1\t0\t9\n"},
    )
    assert edges(graph, *RATED) == [("0", "1"), ("1", "3")]
    assert edges(graph, "item", "relation_0", "entity") == [("1", "9")]


def test_kgat_ids_are_numbers(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"test\.txt has ids that are no numbers"):
        build(tmp_path, "kgat", {"train.txt": "u a b\n", "test.txt": "u c\n"})


FLAGS = {"Comedy": 5, "Drama": 8}


def flags(*genres: str) -> str:
    chosen = {FLAGS[genre] for genre in genres}
    return "|".join(str(int(place in chosen)) for place in range(19))


def test_movielens_100k(tmp_path: Path) -> None:
    graph, report = build(
        tmp_path,
        "movielens",
        {
            "u.data": "1\t10\t4\t881250949\n2\t11\t1\t891717742\n",
            "u.item": (
                f"10|Misérables, Les (1995)|01-Jan-1995||http://x|{flags('Drama')}\n"
                f'11|"Wild" One|||http://y|{flags("Comedy", "Drama")}\n'
            ).encode("latin-1"),
            "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
            "u1.base": "1\t10\t4\t881250949\n",
            "u.genre": "unknown|0\n",
        },
    )
    assert edges(graph, *RATED, "rating", "timestamp") == [("1", "10", 4.0, 881250949), ("2", "11", 1.0, 891717742)]
    assert attributes(graph, "item", "title") == [("10", "Misérables, Les (1995)"), ("11", '"Wild" One')]
    assert edges(graph, "item", "genre", "genre") == [("10", "Drama"), ("11", "Comedy"), ("11", "Drama")]
    assert attributes(graph, "user", "occupation", "age") == [("1", "technician", 24), ("2", "other", 53)]
    assert report.findings["files that are not read"].examples == ["u.genre", "u1.base"]


def test_movielens_100k_in_parts(tmp_path: Path) -> None:
    graph, _ = build(tmp_path, "movielens", {"u1.base": "1\t10\t4\t881250949\n", "u1.test": "1\t11\t4\t881250950\n"})
    assert edges(graph, *RATED, "part") == [("1", "10", "train"), ("1", "11", "test")]


def test_movielens_with_double_colons(tmp_path: Path) -> None:
    graph, _ = build(
        tmp_path,
        "movielens",
        {
            "ratings.dat": "1::122::5::838985046\n",
            "movies.dat": "122::Città: 4::Comedy|Drama\n123::Other::(no genres listed)\n".encode("latin-1"),
            "users.dat": "1::F::1::10::48067\n",
            "tags.dat": "1::122::Great FUN::1215184630\n",
        },
    )
    assert edges(graph, *RATED, "rating") == [("1", "122", 5.0)]
    assert attributes(graph, "item", "title") == [("122", "Città: 4"), ("123", "Other")]
    assert edges(graph, "item", "genre", "genre") == [("122", "Comedy"), ("122", "Drama")]
    assert attributes(graph, "user", "gender", "age") == [("1", "F", 1)]
    assert edges(graph, "item", "has_tag", "tag") == [("122", "great fun")]


def test_movielens_as_csv(tmp_path: Path) -> None:
    graph, report = build(
        tmp_path,
        "movielens",
        {
            "ratings.csv.gz": "userId,movieId,rating,timestamp\n1,1,4.5,964982703\n",
            "movies.csv": 'movieId,title,genres\n1,"Story, Toy (1995)",Adventure|Children\n2,X,(no genres listed)\n',
            "tags.csv": "userId,movieId,tag,timestamp\n1,1,pixar,1139045764\n",
            "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n",
        },
    )
    assert edges(graph, *RATED, "rating", "timestamp") == [("1", "1", 4.5, 964982703)]
    assert attributes(graph, "item", "title") == [("1", "Story, Toy (1995)"), ("2", "X")]
    assert edges(graph, "item", "genre", "genre") == [("1", "Adventure"), ("1", "Children")]
    assert edges(graph, "item", "has_tag", "tag", "timestamp") == [("1", "pixar", 1139045764)]
    assert report.findings["files that are not read"].examples == ["links.csv"]


@pytest.mark.parametrize("with_times", [True, False])
def test_lastfm(tmp_path: Path, with_times: bool) -> None:
    files: dict[str, str | bytes] = {
        "user_artists.dat": "userID\tartistID\tweight\n2\t51\t13883\n3\t52\t1\n",
        "artists.dat": 'id\tname\turl\tpictureURL\n51\tDuran "D" Duran\thttp://a\thttp://p\n52\tBjörk\thttp://b\t\n',
        "tags.dat": "tagID\ttagValue\n1\tmúsica\n".encode("latin-1"),
        "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n2\t52\t1\t1\t4\t2009\n",
        "user_friends.dat": "userID\tfriendID\n2\t3\n3\t2\n",
    }
    if with_times:
        files["user_taggedartists-timestamps.dat"] = "userID\tartistID\ttagID\ttimestamp\n2\t52\t1\t1238536800000\n"
    graph, report = build(tmp_path, "lastfm", files)
    assert edges(graph, *RATED, "weight") == [("2", "51", 13883.0), ("3", "52", 1.0)]
    assert attributes(graph, "item", "name") == [("51", 'Duran "D" Duran'), ("52", "Björk")]
    assert edges(graph, "item", "has_tag", "tag") == [("52", "música")]
    assert edges(graph, "user", "friend", "user") == [("2", "3"), ("3", "2")]
    assert "files that are not read" not in report.findings
    if with_times:
        assert edges(graph, "item", "has_tag", "tag", "timestamp") == [("52", "música", 1238536800)]


def lines(*objects: Any) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in objects)


AMAZON_2014: dict[str, str | bytes] = {
    "reviews_Beauty_5.json.gz": lines(
        {"reviewerID": "A1", "asin": "B1", "helpful": [3, 4], "overall": 5.0, "unixReviewTime": 1391040000}
    ),
    "meta_Beauty.json.gz": (
        "{'asin': 'B1', 'title': \"Nail's\", 'price': 9.99, 'categories': [['Beauty', 'Nails']], "
        "'related': {'also_bought': ['B2', 'B9']}, 'salesRank': {'Beauty': 7}}\n"
        "{'asin': 'B2', 'brand': 'Acme', 'categories': [['Beauty']]}\n"
    ),
}
AMAZON_2018: dict[str, str | bytes] = {
    "Beauty.json.gz": lines(
        {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1391040000, "style": {"Size:": "L"}}
    ),
    "meta_Beauty.json.gz": lines(
        {"asin": "B1", "title": "Nail's", "price": "9.99", "category": ["Beauty", "Nails"], "also_buy": ["B2", "B9"]},
        {"asin": "B2", "brand": "Acme", "category": ["Beauty"]},
    ),
}
AMAZON_2023: dict[str, str | bytes] = {
    "Beauty.jsonl.gz": lines(
        {"user_id": "A1", "asin": "B1x", "parent_asin": "B1", "rating": 5.0, "timestamp": 1391040000123}
    ),
    "meta_Beauty.jsonl.gz": lines(
        {"parent_asin": "B1", "title": "Nail's", "price": 9.99, "categories": ["Beauty", "Nails"], "details": {"a": 1}},
        {"parent_asin": "B2", "store": "Acme", "categories": ["Beauty"], "bought_together": None},
    ),
}


@pytest.mark.parametrize("files", [AMAZON_2014, AMAZON_2018, AMAZON_2023], ids=["2014", "2018", "2023"])
def test_amazon(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    graph, _ = build(tmp_path, "amazon", files)
    assert edges(graph, *RATED, "rating", "timestamp") == [("A1", "B1", 5.0, 1391040000)]
    assert attributes(graph, "item", "title", "price") == [("B1", "Nail's", 9.99), ("B2", None, None)]
    assert edges(graph, "item", "category", "category") == [("B1", "Beauty"), ("B1", "Nails"), ("B2", "Beauty")]
    assert edges(graph, "item", "brand", "brand") == [("B2", "Acme")]
    if files is not AMAZON_2023:
        assert edges(graph, "item", "also_bought", "item") == [("B1", "B2")], "B9 is described nowhere"


def test_amazon_needs_reviews(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="has no reviews"):
        build(tmp_path, "amazon", {"meta.jsonl": lines({"parent_asin": "B1", "title": "x"})})
