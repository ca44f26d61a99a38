from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import GraphBuilder, GraphSettings, QualityReport, QualitySettings
from ingest.settings import CsvForm
from ingest.sources.tables import from_frame, read_file
from kg import Event, KnowledgeGraph, RelationKey
from kg.errors import ConfigError, InvalidDataError

NOW = 1_700_000_000
HEADER = "user_id,item_id,rating,timestamp\n"
RATED = RelationKey("user", "rated", "item")


def builder(*, limit: float = 1.0, strict: bool = False, **graph: Any) -> GraphBuilder:
    return GraphBuilder(GraphSettings(**graph), quality=QualitySettings(max_set_aside=limit, strict=strict), now=NOW)


def build(path: Path | Any, **options: Any) -> tuple[KnowledgeGraph, QualityReport]:
    return builder(**options).add_interactions(path).build()


def triples(graph: KnowledgeGraph, key: RelationKey = RATED, *more: str) -> list[tuple[Any, ...]]:
    table = graph.edges[key]
    ends = (
        graph.vocabulary(key.source).take(table["src"].to_numpy()).to_pylist(),
        graph.vocabulary(key.target).take(table["dst"].to_numpy()).to_pylist(),
    )
    return list(zip(*ends, *(table[name].to_pylist() for name in more), strict=True))


def csv_file(folder: Path, text: str, name: str = "r.csv") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


BAD_ROWS = {
    "nan": ("u1,i9,NaN,5", "missing ratings"),
    "no rating": ("u1,i9,,5", "missing ratings"),
    "infinite": ("u1,i9,inf,5", "missing ratings"),
    "word": ("u1,i9,good,5", "unparsable cells"),
    "negative time": ("u1,i9,4,-5", "negative timestamps"),
    "future": (f"u1,i9,4,{NOW + 1}", "future timestamps"),
    "bad time": ("u1,i9,4,yesterday", "unparsable cells"),
    "no such day": ("u1,i9,4,2001-02-30", "unparsable cells"),
    "no time": ("u1,i9,4,", "missing timestamps"),
    "no user": (",i9,4,5", "missing ids"),
    "blank item": ("u1,  ,4,5", "missing ids"),
    "too few cells": ("u1,i9", "bad lines"),
    "too many cells": ("u1,i9,4,5,6", "bad lines"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_are_set_aside_with_file_and_line(tmp_path: Path, name: str) -> None:
    row, kind = BAD_ROWS[name]
    path = csv_file(tmp_path, f'{HEADER}"u\n1",i1,4,1\n\nu1,i1,5,2\n{row}\nu2,i2,3,{NOW}\n')
    graph, report = build(path)
    assert triples(graph) == [("u\n1", "i1"), ("u1", "i1"), ("u2", "i2")]
    assert {f.kind for f in report.warnings} == {kind}
    assert report.findings[kind].examples[0].startswith("r.csv:6: ")
    assert (report.sources[0].read, report.sources[0].set_aside) == (4, 1)
    with pytest.raises(InvalidDataError, match=r"r\.csv:6: ") as caught:
        build(path, limit=0.1)
    assert "1 of 4" in str(caught.value)
    assert "quality.max_set_aside = 0.1" in str(caught.value)
    with pytest.raises(InvalidDataError, match=r"quality\.strict.*r\.csv:6: "):
        build(path, strict=True)


def test_lines_are_right_after_rejected_ones(tmp_path: Path) -> None:
    text = HEADER + "u1,i1,4,1\nbad\nu1,i2,4,1\nbad,row\nu1,i3,x,1\nu1,i4,y,1\nbad\nu1,i5,z,1\n"
    report = build(csv_file(tmp_path, text))[1]
    places = [example.split(": ")[0] for example in report.findings["unparsable cells"].examples]
    assert places == ["r.csv:6", "r.csv:7", "r.csv:9"]
    assert [e.split(": ")[0] for e in report.findings["bad lines"].examples] == ["r.csv:3", "r.csv:5", "r.csv:8"]


def test_times_in_two_units_are_set_aside_with_what_they_look_like(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"{HEADER}u1,i1,4,{(NOW - 9) * 1000}\nu1,i2,4,{NOW - 9}\nu1,i3,4,{NOW - 8}\n")
    with pytest.raises(InvalidDataError, match="look like milliseconds, and the others do not"):
        build(path, limit=0.1)


def test_a_wrong_column_is_refused_naming_those_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"r\.csv has no column 'user_id' .*userId, movieId"):
        build(csv_file(tmp_path, "userId,movieId\n1,2\n"))
    with pytest.raises(InvalidDataError, match="no column 'stars'"):
        builder().add_interactions(csv_file(tmp_path, HEADER + "a,b,1,1\n"), columns={"rating": "stars"})
    with pytest.raises(InvalidDataError, match="'item_id' more than once"):
        build(csv_file(tmp_path, "user_id,item_id,item_id\n1,2,3\n"))


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz", "r.parquet"])
def test_empty_missing_and_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(InvalidDataError, match="does not exist"):
        build(path)
    if name == "r.parquet":
        pq.write_table(pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())}), path)
    else:
        csv_file(tmp_path, "", name)
        with pytest.raises(InvalidDataError, match="is empty"):
            build(path)
        csv_file(tmp_path, HEADER, name)
    with pytest.raises(InvalidDataError, match="is empty"):
        build(path)
    path.write_bytes(b"PAR1 no" if name == "r.parquet" else b"\x1f\x8b\x08\x00\xff\xfe")
    with pytest.raises(InvalidDataError):
        build(path)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes(HEADER.encode() + "u,Amélie,4,1\n".encode("latin-1"))
    with pytest.raises(InvalidDataError, match=r"r\.csv:2 is not UTF-8 text: write the encoding of the file"):
        build(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text(HEADER + "u,i,4,1\n", encoding="utf-16")
    with pytest.raises(InvalidDataError, match=r"r\.csv:1 is not UTF-8 text, it looks like UTF-16"):
        build(tmp_path / "r.csv")


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_bytes((HEADER + "u,i,4,1\n").replace("\n", "\r\n").encode("utf-8-sig"))
    graph, report = build(tmp_path / "r.csv")
    assert triples(graph) == [("u", "i")]
    assert not report.warnings


def test_the_latest_of_duplicates_wins_whatever_the_order(tmp_path: Path) -> None:
    rows = ["u1,i1,5,10", "u1,i1,2,30", "u1,i1,4,20", "u1,i2,3,7", "u1,i2,4,7"]
    for order in (rows, rows[::-1]):
        graph, report = build(csv_file(tmp_path, HEADER + "\n".join(order)))
        assert triples(graph, RATED, "rating", "timestamp") == [("u1", "i1", 2.0, 30), ("u1", "i2", 4.0, 7)]
        assert report.findings["duplicate interactions"].count == 3
        assert report.sources[0].set_aside == 0


def test_numbers_of_a_column_and_text_are_the_same_id() -> None:
    for ids in ([1, 2], [1.0, 2.0], ["1", "2"], np.array([1, 2], dtype=np.uint8)):
        graph, _ = build({"user_id": ids, "item_id": ids})
        assert triples(graph) == [("1", "1"), ("2", "2")]


def frames() -> dict[str, Any]:
    columns = {
        "user_id": ["a", "b", "b"],
        "item_id": [1, 1, 2],
        "rating": [4.0, 3.5, 5.0],
        "timestamp": [dt.datetime.fromtimestamp(t, dt.UTC) for t in (10, 20, 30)],
    }
    table = pa.table(columns)
    return {
        "mapping": columns,
        "arrow": table,
        "pandas": pd.DataFrame(columns),
        "polars": pl.DataFrame(columns),
        "batches": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
    }


@pytest.mark.parametrize("kind", ["mapping", "arrow", "pandas", "polars", "batches", "csv", "tsv", "parquet"])
def test_every_kind_of_table_gives_the_same_graph(tmp_path: Path, kind: str) -> None:
    data: Any
    if kind == "parquet":
        data = tmp_path / "r.parquet"
        pq.write_table(frames()["arrow"], data)
    elif kind in ("csv", "tsv"):
        cells = "\n".join(["a,1,4.0,10", "b,1,3.5,20", "b,2,5.0,30"])
        text = "\ufeff" + HEADER + cells + "\n"
        data = csv_file(tmp_path, text.replace(",", "\t") if kind == "tsv" else text, f"r.{kind}")
    else:
        data = frames()[kind]
    graph, report = build(data)
    expected = [("a", "1", 4.0, 10), ("b", "1", 3.5, 20), ("b", "2", 5.0, 30)]
    assert triples(graph, RATED, "rating", "timestamp") == expected
    assert not report.warnings


def test_frames_that_are_none_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="is a int"):
        from_frame(3)
    with pytest.raises(InvalidDataError, match="empty"):
        from_frame({"user_id": [], "item_id": []})
    with pytest.raises(InvalidDataError, match="one type"):
        from_frame({"user_id": [1, "a"]})


def test_files_without_a_header_and_with_another_separator(tmp_path: Path) -> None:
    rows = read_file(
        csv_file(tmp_path, "1|2\n3|4|5\n6|7\n"), name="r.csv", form=CsvForm(separator="|", header=["a", "b"])
    )
    assert rows.table.to_pydict() == {"a": ["1", "6"], "b": ["2", "7"]}
    assert rows.place(1) == "r.csv:3"
    assert rows.bad_examples[0].startswith("r.csv:2: 3 cells")


def test_items_the_graph_lacks_are_kept_and_counted_and_strict_refuses() -> None:
    for strict in (False, True):
        b = builder(strict=strict)
        b.add_attributes({"id": ["i1"], "name": ["One"]}, node="item")
        b.add_interactions({"user_id": ["u", "u"], "item_id": ["i1", "i9"]})
        if strict:
            with pytest.raises(InvalidDataError, match=r"item i9.*graph\.nodes\.item\.key"):
                b.build()
            continue
        graph, report = b.build()
        assert graph.items.ids.to_pylist() == ["i1", "i9"]
        assert graph.nodes["item"]["name"].to_pylist() == ["One", None]
        assert report.findings["items the graph lacks"].examples == ["item i9"]
        assert report.findings["empty texts"].examples == ["item i9"]


def test_findings_about_users_and_items() -> None:
    b = builder(positive="rating >= 4")
    b.add_attributes({"id": ["i1", "i2", "i3"]}, node="item")
    b.add_interactions({"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i2"], "rating": [5.0, 1.0, 3.0]})
    _, report = b.build()
    assert report.findings["users with one interaction"].examples == ["b"]
    assert report.findings["items with one interaction"].examples == ["i1"]
    assert report.findings["items without interactions"].examples == ["i3"]
    assert report.findings["users with no positives"].examples == ["b"]


def test_the_positive_rule_needs_its_column() -> None:
    with pytest.raises(InvalidDataError, match="needs a column 'rating'"):
        build({"user_id": ["a"], "item_id": ["b"]}, positive="rating >= 4")


def test_events_with_values_make_nodes_and_follow_the_user() -> None:
    b = builder()
    b.add_interactions({"user_id": ["u1", "u2"], "item_id": ["i1", "i1"]})
    b.add_events(
        {
            "user_id": ["u1", "u1", "u2", "u2"],
            "item_id": ["i1", "i1", "i1", "i2"],
            "tag": ["Slow  burn", "space", "slow burn", "space"],
            "timestamp": [1, 2, 3, 4],
        },
        relation="tagged",
        columns={"value": "tag"},
        value_type="tag",
        value_relation="has_tag",
    )
    graph, _ = b.build()
    key = RelationKey("item", "has_tag", "tag")
    assert graph.schema.relations[key].event == Event("user", "src")
    assert graph.nodes["tag"].to_pylist() == [{"id": t, "name": t} for t in ("slow burn", "space")]
    users = graph.users.take(graph.edges[key]["user"].to_numpy()).to_pylist()
    found = sorted((*edge, user) for edge, user in zip(triples(graph, key, "timestamp"), users, strict=True))
    assert found == [
        ("i1", "slow burn", 1, "u1"),
        ("i1", "slow burn", 3, "u2"),
        ("i1", "space", 2, "u1"),
        ("i2", "space", 4, "u2"),
    ]
    tagged = RelationKey("user", "tagged", "item")
    assert triples(graph, tagged) == [("u1", "i1"), ("u1", "i1"), ("u2", "i1"), ("u2", "i2")]
    assert graph.schema.relations[tagged].event == Event()
    assert graph.schema.interaction == RATED
    with pytest.raises(ConfigError, match="value_type"):
        b.add_events({"user_id": ["a"], "item_id": ["b"], "t": ["c"]}, relation="x", columns={"value": "t"})


def test_attributes_and_edges_from_tables(tmp_path: Path) -> None:
    b = builder(item="movie", nodes={"movie": {"text": "{title} ({year}): {genre}"}})
    movies = csv_file(
        tmp_path, "movieId,title,year,genres,imdb\n1,Alien,1979,Horror|Sci-Fi,0078748\n2,Big,,,\n", "m.csv"
    )
    b.add_attributes(
        movies, node="movie", id="movieId", columns={"title": "title", "year": "year", "imdb": "imdb", "g": "genres"},
        lists={"g": "|"},
    )  # fmt: skip
    columns = {"source": "movieId", "target": "genres"}
    b.add_edges(movies, source="movie", relation="genre", target="genre", columns=columns, split="|")
    b.add_edges(
        {"source": ["1", "1", "x"], "target": ["2", "2", "1"]}, source="movie", relation="sequel", target="movie"
    )
    b.add_interactions({"user_id": ["u"], "item_id": [1]})
    graph, report = b.build()
    assert graph.nodes["movie"].to_pylist()[0] == {
        "id": "1", "title": "Alien", "year": 1979, "imdb": "0078748", "g": ["Horror", "Sci-Fi"],
        "text": "Alien (1979): Horror, Sci-Fi",
    }  # fmt: skip
    assert graph.texts("movie").to_pylist() == ["Alien (1979): Horror, Sci-Fi", "Big", ""]
    assert triples(graph, RelationKey("movie", "genre", "genre")) == [("1", "Horror"), ("1", "Sci-Fi")]
    assert triples(graph, RelationKey("movie", "sequel", "movie")) == [("1", "2"), ("x", "1")]
    assert report.findings["repeated edges"].count == 1
    assert report.findings["dangling references"].examples == ["movie x"]


def test_separators_at_the_end_of_a_list_make_no_value(tmp_path: Path) -> None:
    text = "id,genres\n1,Horror|Sci-Fi|\n2,|Horror\n3, | \n4,\n5,Drama || War\n"
    movies = csv_file(tmp_path, text, "m.csv")
    b = builder(limit=0.0, item="movie")
    b.add_interactions({"user_id": ["u"], "item_id": [1]})
    b.add_attributes(movies, node="movie", columns={"g": "genres"}, lists={"g": "|"})
    b.add_edges(movies, source="movie", relation="genre", target="genre", columns={"source": "id", "target": "genres"},
                split="|")  # fmt: skip
    graph, report = b.build()
    lists = [["Horror", "Sci-Fi"], ["Horror"], [], None, ["Drama", "War"]]
    assert graph.nodes["movie"]["g"].to_pylist() == lists
    edges = sorted((str(at), genre) for at, genres in enumerate(lists, start=1) for genre in genres or ())
    assert sorted(triples(graph, RelationKey("movie", "genre", "genre"))) == edges
    finding = report.findings["rows without targets"]
    assert (finding.count, finding.examples) == (2, ["m.csv:4", "m.csv:5"])


def test_edges_between_users_and_items_are_events() -> None:
    b = builder().add_interactions({"user_id": ["u"], "item_id": ["i"]})
    b.add_edges({"source": ["i"], "target": ["u"]}, source="item", relation="watched_by", target="user")
    graph, _ = b.build()
    assert graph.schema.relations[RelationKey("item", "watched_by", "user")].event == Event("dst", "src")


def test_texts_made_of_what_users_did_are_refused() -> None:
    b = builder(nodes={"item": {"text": "{has_tag}"}})
    b.add_events(
        {"user_id": ["u"], "item_id": ["i"], "tag": ["t"]},
        relation="tagged", columns={"value": "tag"}, value_type="tag", value_relation="has_tag",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="held-out"):
        b.build()


def test_attributes_of_two_sources_are_joined_and_differences_counted() -> None:
    b = builder().add_interactions({"user_id": ["u"], "item_id": ["a"]})
    b.add_attributes({"id": ["a", "b", "b"], "year": [1, None, None], "n": ["x", "y", "z"]}, node="item")
    b.add_attributes({"id": ["a", "b"], "year": [1.5, 2.0]}, node="item")
    graph, report = b.build()
    assert graph.nodes["item"]["year"].to_pylist() == [1.0, 2.0]
    assert graph.nodes["item"]["n"].to_pylist() == ["x", "y"]
    assert report.findings["attributes that differ"].examples == ["item a year: 1.0, 1.5"]
    assert report.findings["repeated attribute rows"].count == 1
    with pytest.raises(ConfigError, match="text"):
        b.add_attributes({"id": ["a"], "text": ["x"]}, node="item")


def test_shuffled_tables_give_the_same_graph() -> None:
    random = np.random.default_rng(0)
    n = 300
    users, items = random.integers(0, 12, n).astype(str), random.integers(0, 15, n).astype(str)
    ratings, times = random.choice([1.0, 4.0, 5.0], n), random.integers(0, 20, n)
    tags = random.choice(["a", "A ", "b"], n)
    results = []
    for seed in range(4):
        p = np.random.default_rng(seed).permutation(n)
        shown = {"user_id": users[p], "item_id": items[p], "rating": ratings[p], "timestamp": times[p], "tag": tags[p]}
        b = builder(positive="rating >= 4")
        b.add_interactions(shown)
        b.add_events(shown, relation="tagged", columns={"value": "tag"}, value_type="tag", value_relation="has_tag")
        b.add_attributes({"id": items[p], "rating": ratings[p]}, node="item")
        graph, report = b.build()
        results.append((graph.nodes, graph.edges, graph.schema, report.to_json()))
    for other in results[1:]:
        assert all(table.equals(other[0][name]) for name, table in results[0][0].items())
        assert all(table.equals(other[1][key]) for key, table in results[0][1].items())
        assert results[0][2:] == other[2:]
