"""Files in every shape: encodings, unquoted ones, JSON lines, queries, units of times, columns of relations."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import DataSettings, GraphBuilder, GraphSettings, QualityReport, QualitySettings, build_graph
from ingest.settings import AttributesSource, CsvForm, EdgesSource, InteractionsSource
from ingest.sources.tables import Rows, read_lists, read_table
from ingest.sources.tables.json_lines import MAX_KEYS, read_json_lines
from ingest.sources.tables.relations import relation_name
from kg import KnowledgeGraph, RelationKey
from kg.errors import ConfigError, InvalidDataError

NOW = 1_700_000_000
RATED = RelationKey("user", "rated", "item")


def read(path: Path, **settings: Any) -> Rows:
    return read_table(path, name=path.name, settings=InteractionsSource(files=[path.name], **settings))


def build(folder: Path, **sources: Any) -> tuple[KnowledgeGraph, QualityReport]:
    settings = DataSettings(sources=sources, quality=QualitySettings(max_set_aside=1.0))
    return build_graph(settings, base=folder, now=NOW)


def edges(graph: KnowledgeGraph, key: RelationKey, *more: str) -> list[tuple[Any, ...]]:
    table = graph.edges[key]
    ends = (
        graph.vocabulary(key.source).take(table["src"].to_numpy()).to_pylist(),
        graph.vocabulary(key.target).take(table["dst"].to_numpy()).to_pylist(),
    )
    return list(zip(*ends, *(table[name].to_pylist() for name in more), strict=True))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8"])
@pytest.mark.parametrize("name", ["movies.csv", "movies.csv.gz"])
@pytest.mark.parametrize("quotes", ["doubled", "none"])
def test_a_table_in_any_encoding(tmp_path: Path, encoding: str, name: str, quotes: str) -> None:
    data = "id,title\n1,Amélie\nbad\n2,Cidade\n".encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = read(path, encoding=encoding, quotes=quotes)
    assert rows.table.to_pydict() == {"id": ["1", "2"], "title": ["Amélie", "Cidade"]}
    assert rows.bad_lines == 1
    assert rows.bad_examples[0].startswith(f"{name}:3: ")
    assert rows.place(1) == f"{name}:4"


def test_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "movies.csv"
    path.write_bytes("id,title\n1,x\n2,Amélie\n".encode("latin-1"))
    with pytest.raises(InvalidDataError, match=r'movies\.csv:3 .*encoding = "latin-1"'):
        read(path, quotes="none")
    with pytest.raises(InvalidDataError, match=r"movies\.csv is no text in ascii"):
        read(path, encoding="ascii")
    with pytest.raises(ConfigError, match="'latin9000' is no encoding"):
        InteractionsSource(files=["x"], encoding="latin9000")


def test_a_separator_of_several_characters(tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    path.write_text('1::"Great" Cats: now::Drama|Musical\r\n\r\n2::x\n3::Up:: \n', encoding="utf-8")
    rows = read(path, separator="::", quotes="none", header=["id", "title", "genres"])
    assert rows.table.to_pylist() == [
        {"id": "1", "title": '"Great" Cats: now', "genres": "Drama|Musical"},
        {"id": "3", "title": "Up", "genres": " "},
    ]
    assert rows.bad_examples == ["movies.dat:3: 2 cells where 3 are expected: 2::x"]
    assert [rows.place(0), rows.place(1)] == ["movies.dat:1", "movies.dat:4"]
    with pytest.raises(ConfigError, match='add quotes = "none"'):
        InteractionsSource(files=["x"], separator="::")


def test_quotes_are_characters_where_nothing_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "r.tsv"
    path.write_text('user_id\titem_id\n"a\t1\nb"\t2\n', encoding="utf-8")
    rows = read(path, quotes="none")
    assert rows.table.to_pydict() == {"user_id": ['"a', 'b"'], "item_id": ["1", "2"]}
    assert rows.bad_lines == 0


@pytest.mark.parametrize("name", ["r.jsonl", "r.json.gz", "r.ndjson"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    lines = [
        '{"user": 12345678901234567890, "item": {"id": "a", "tags": ["x", ["y"]]}, "stars": 4.50, "new": true}',
        "not json",
        "",
        '["a list"]',
        '{"user": "u", "item": {"id": null, "tags": "z"}, "extra": [{"k": 1}], "empty": ""}',
    ]
    data = "\n".join(lines).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = read(path)
    assert rows.table.to_pylist() == [
        {
            "user": "12345678901234567890",
            "item.id": "a",
            "item.tags": ["x", "y"],
            "stars": "4.50",
            "new": "true",
            "extra": None,
            "empty": None,
        },
        {
            "user": "u",
            "item.id": None,
            "item.tags": ["z"],
            "stars": None,
            "new": None,
            "extra": ['{"k": "1"}'],
            "empty": None,
        },
    ]
    assert rows.bad_lines == 2
    assert rows.bad_examples[0].startswith(f"{name}:2: no JSON")
    assert rows.bad_examples[1].startswith(f"{name}:4: no object")
    assert rows.place(1) == f"{name}:5"


HALVES = [
    r'{"user_id": "u\ud800", "item_id": "a"}',
    r'{"user_id": "u", "\uDFFF": "a"}',
    r'{"user_id": "u", "item_id": "a", "tags": ["x", ["\udc00"]]}',
    r'{"user_id": "u", "item_id": "a", "brand": {"name\ud83d": 1}}',
    r'{"user_id": "u", "item_id": "a", "brand": {"name": [{"k": "\ud83d \ude00"}]}}',
    r'{"user_id": "u", "item_id": "a", "extra": [{"\ud83d": "y"}]}',
]


@pytest.mark.parametrize("line", HALVES)
@pytest.mark.parametrize("form", ["%s\n%s\n%s\n", "[%s,\n%s,\n%s]"])
def test_a_row_of_json_with_half_of_a_character_is_set_aside(tmp_path: Path, line: str, form: str) -> None:
    whole = r'{"user_id": "v", "item_id": "\ud83d\ude00", "path": "C:\\ud800"}'
    path = tmp_path / "r.jsonl"
    path.write_text(form % (whole, line, whole.replace("v", "w")), encoding="utf-8")
    rows = read(path)
    assert rows.table["item_id"].to_pylist() == ["\N{GRINNING FACE}"] * 2
    assert rows.table["path"].to_pylist() == [r"C:\ud800"] * 2
    assert (rows.bad_lines, len(rows.bad_examples)) == (1, 1)
    assert rows.bad_examples[0].startswith("r.jsonl:2: half of a character, a lone surrogate, is in it: {")
    assert rows.bad_examples[0].isascii()
    with pytest.raises(InvalidDataError, match=r"1 of 3 .*r\.jsonl:2: half of a character"):
        GraphBuilder(GraphSettings()).add_interactions(path)
    quality = QualitySettings(max_set_aside=0.5)
    _, report = GraphBuilder(GraphSettings(), quality=quality).add_interactions(path).build()
    assert report.to_json()["sources"][0]["set_aside"] == 1


def test_python_literals_that_are_like_no_json_are_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    lines = ["{'id': 1, 'x': (1, 2.50)}", "{'id': {1}}", "{'id': b'a'}", r"{'id': '\ud800'}", "{2: 'b', 'id': True}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    rows = read_json_lines(path, name="r.json", literals=True)
    assert rows.table.to_pylist() == [{"id": "1", "x": ["1", "2.5"], "2": None}, {"id": "true", "x": None, "2": "b"}]
    assert [example.split(":")[1] for example in rows.bad_examples] == ["2", "3", "4"]


def test_halves_of_characters_that_an_encoding_lets_pass_are_refused(tmp_path: Path) -> None:
    for name, quotes in (("r.csv", "doubled"), ("r.csv", "none"), ("r.jsonl", "doubled")):
        (tmp_path / name).write_bytes(rb'{"id": "a",\n"x": "\ud800"}')
        with pytest.raises(InvalidDataError, match=r"unicode_escape.*correct the encoding|unicode_escape: correct"):
            read(tmp_path / name, encoding="unicode_escape", quotes=quotes)
    with pytest.raises(ConfigError, match="'hex' is no encoding"):
        CsvForm(encoding="hex")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-8-sig"])
def test_lists_of_items_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "likes.txt").write_text("zoë café thé\r\nann thé\r\n", encoding=encoding, newline="")
    source = InteractionsSource(files=["likes.txt"], format="lists", encoding=encoding)
    graph, _ = build(tmp_path, interactions=[source])
    assert sorted(edges(graph, RATED)) == [("ann", "thé"), ("zoë", "café"), ("zoë", "thé")]
    if encoding != "utf-8-sig":
        with pytest.raises(InvalidDataError, match=r"likes\.txt:1 is no text in utf-8: write the encoding"):
            read_lists(tmp_path / "likes.txt", name="likes.txt")


def test_one_json_list_is_a_table_too(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('[\n {"a": 1},\n {"a": 2}, 3\n]', encoding="utf-8")
    rows = read(path)
    assert rows.table.to_pydict() == {"a": ["1", "2"]}
    assert rows.bad_examples == ["r.json:3: no object: 3"]


def test_an_object_of_many_keys_stays_one_column(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        "\n".join(json.dumps({"id": n, "rank": {f"list {n}": n}}) for n in range(MAX_KEYS + 1)), encoding="utf-8"
    )
    assert read(path).table.column_names == ["id", "rank"]
    assert read(path).table["rank"][1].as_py() == '{"list 1": "1"}'


def test_lists_of_json_and_parquet_are_edges_and_attributes_without_a_separator(tmp_path: Path) -> None:
    (tmp_path / "movies.jsonl").write_text(
        '{"id": "m1", "genres": ["a", "b"]}\n{"id": "m2", "genres": []}\n{"id": "m3"}\n', encoding="utf-8"
    )
    pq.write_table(pa.table({"user_id": ["u"], "item_id": [["m1", "m3"]]}), tmp_path / "baskets.parquet")
    graph, report = build(
        tmp_path,
        interactions=[{"files": ["baskets.parquet"]}],
        attributes=[{"node": "item", "files": ["movies.jsonl"]}],
        edges=[
            {
                "source": "item",
                "relation": "genre",
                "target": "genre",
                "files": ["movies.jsonl"],
                "columns": {"source": "id", "target": "genres"},
            }
        ],
    )
    assert edges(graph, RATED) == [("u", "m1"), ("u", "m3")]
    assert edges(graph, RelationKey("item", "genre", "genre")) == [("m1", "a"), ("m1", "b")]
    assert graph.nodes["item"]["genres"].to_pylist() == [["a", "b"], [], None]
    assert not any(source.set_aside for source in report.sources)


@pytest.mark.parametrize(("unit", "ticks"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
@pytest.mark.parametrize("how", ["csv", "parquet", "named"])
def test_units_of_times_are_guessed_and_can_be_named(tmp_path: Path, unit: str, ticks: int, how: str) -> None:
    times = [(NOW - 100) * ticks + ticks // 3, NOW * ticks, 0]
    table = pa.table({"user_id": ["u", "u", "u"], "item_id": ["a", "b", "c"], "timestamp": times})
    settings: dict[str, Any] = {"files": ["r.parquet"]}
    if how == "csv":
        settings = {"files": ["r.csv"]}
        rows = [f"{u},{i},{t}" for u, i, t in zip(*table.to_pydict().values(), strict=True)]
        (tmp_path / "r.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows), encoding="utf-8")
    elif how == "named":
        settings["unit"] = unit
    pq.write_table(table, tmp_path / "r.parquet")
    graph, report = build(tmp_path, interactions=[settings])
    assert edges(graph, RATED, "timestamp") == [("u", "a", NOW - 100), ("u", "b", NOW), ("u", "c", 0)]
    guesses = [finding for kind, finding in report.findings.items() if kind.startswith("timestamps in ")]
    if unit == "s" or how == "named":
        assert not guesses
    else:
        assert guesses[0].count == 3
        assert f'unit = "{unit}"' in guesses[0].explanation
        assert "2023-11-14T22:11:40+00:00" in guesses[0].examples[0]


def test_a_named_unit_is_not_guessed_again(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(f"user_id,item_id,timestamp\nu,a,{NOW * 1000}\n", encoding="utf-8")
    _, report = build(
        tmp_path,
        interactions=[{"files": ["r.csv"], "unit": "s"}, {"files": ["r.csv"], "unit": "ms"}],
    )
    assert report.findings["future timestamps"].count == 1


def test_times_in_iso_8601_need_no_unit(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(
        "user_id,item_id,timestamp\nu,a,2001-09-09T01:46:40Z\nu,b,2001-09-09\n", encoding="utf-8"
    )
    graph, report = build(tmp_path, interactions=[{"files": ["r.csv"]}])
    assert edges(graph, RATED, "timestamp") == [("u", "a", 1_000_000_000), ("u", "b", 999_993_600)]
    assert not [kind for kind in report.findings if kind.startswith("timestamps in")]


WIDE = "user,m1,m2,m3\nann,5,,1\nbob,,4,\nbad\n"
UNPIVOT = (
    'SELECT "user" AS user_id, item AS item_id, rating FROM (UNPIVOT file ON m1, m2, m3 INTO NAME item VALUE rating)'
)


def test_sql_makes_rows_of_any_shape_and_bad_lines_stay_counted(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(WIDE, encoding="utf-8")
    graph, report = build(tmp_path, interactions=[{"files": ["wide.csv"], "sql": UNPIVOT}])
    assert edges(graph, RATED, "rating") == [("ann", "m1", 5.0), ("ann", "m3", 1.0), ("bob", "m2", 4.0)]
    assert (report.sources[0].read, report.sources[0].set_aside) == (4, 1)
    assert report.findings["bad lines"].examples[0].startswith("wide.csv:4: ")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM read_text('{secret}')", "disabled"),
        ("SELECT * FROM read_csv('{secret}')", "disabled"),
        ("SELECT * FROM '{secret}'", "disabled|does not exist"),
        ("SELECT * FROM glob('{folder}/*')", "disabled"),
        ("SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')", "disabled|http|httpfs"),
        ("SELECT * FROM secret_frame", "does not exist"),
        ("SELECT getenv('HOME') AS user_id, 'x' AS item_id", "getenv"),
        ("COPY file TO '{folder}/out.csv'", "no single SELECT"),
        ("ATTACH '{folder}/x.db'", "no single SELECT"),
        ("SET enable_external_access = true", "no single SELECT"),
        ("INSTALL httpfs", "no single SELECT"),
        ("CREATE TABLE t AS SELECT 1", "no single SELECT"),
        ("SELECT 1; SELECT 2", "no single SELECT"),
        ("SELECT nothing FROM file", "columns user_id, item_id"),
        ("", "at least 1 character"),
    ],
)
def test_sql_reaches_nothing_but_its_file(tmp_path: Path, query: str, message: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("user_id,item_id\nleaked,1\n", encoding="utf-8")
    secret_frame = pa.table({"user_id": ["leaked"], "item_id": ["1"]})
    assert secret_frame.num_rows == 1
    (tmp_path / "r.csv").write_text("user_id,item_id\nu,i\n", encoding="utf-8")
    query = query.format(secret=secret, folder=tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path / "r.csv", sql=query)
    assert "leaked" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "x.db").exists()


def test_sql_that_gives_no_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("user_id,item_id\nu,i\n", encoding="utf-8")
    with pytest.raises(InvalidDataError, match="gives no row of its 1"):
        read(tmp_path / "r.csv", sql="SELECT * FROM file WHERE user_id = 'nobody'")


KG = "h r t\n1 0 10\n1 http://x.org/film.genre 11\n2 starring 12\n2 starring 13\n"


def test_a_column_names_the_relations(tmp_path: Path) -> None:
    (tmp_path / "kg.txt").write_text(KG, encoding="utf-8")
    (tmp_path / "r.csv").write_text("user_id,item_id\nu,1\n", encoding="utf-8")
    entry = {
        "source": "item",
        "target": "entity",
        "files": ["kg.txt"],
        "separator": " ",
        "columns": {"source": "h", "relation": "r", "target": "t"},
        "relations": {"0": "directed_by"},
    }
    graph, report = build(tmp_path, interactions=[{"files": ["r.csv"]}], edges=[entry])
    assert edges(graph, RelationKey("item", "directed_by", "entity")) == [("1", "10")]
    assert edges(graph, RelationKey("item", "film_genre", "entity")) == [("1", "11")]
    assert edges(graph, RelationKey("item", "starring", "entity")) == [("2", "12"), ("2", "13")]
    assert report.sources[1].read == 4
    with pytest.raises(ConfigError, match="relations names '9', which is no relation"):
        build(tmp_path, interactions=[{"files": ["r.csv"]}], edges=[{**entry, "relations": {"9": "x"}}])
    with pytest.raises(ConfigError, match=r"'0' and 'starring' of kg\.txt would both be called starring"):
        build(tmp_path, interactions=[{"files": ["r.csv"]}], edges=[{**entry, "relations": {"0": "starring"}}])


def test_a_relation_is_named_once() -> None:
    ends = {"source": "item", "target": "entity", "files": ["x"]}
    for settings in ({}, {"relation": "r", "columns": {"relation": "r"}}):
        with pytest.raises(ConfigError, match=r"either relation, or columns\.relation"):
            EdgesSource(**ends, **settings)
    with pytest.raises(ConfigError, match="name that column"):
        EdgesSource(**ends, relation="r", relations={"0": "x"})
    with pytest.raises(ConfigError, match=r"either relation, or columns\.relation"):
        GraphBuilder(GraphSettings()).add_edges({"source": ["a"], "target": ["b"]}, source="item", target="item")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("0", "relation_0"),
        ("http://x.org/ns#madeBy", "made_by"),
        ("Großes", "gro_es"),
        ("--", "unnamed"),
        ("a b", "a_b"),
    ],
)
def test_relations_are_named_after_their_values(value: str, name: str) -> None:
    assert relation_name(value) == name
    assert EdgesSource(source="a", relation=name, target="b", files=["x"]).relation == name


def test_messages_say_source_and_target(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("a,b\nx,\ny,z\n", encoding="utf-8")
    (tmp_path / "r.csv").write_text("user_id,item_id\nu,y\n", encoding="utf-8")
    entry = {"source": "item", "relation": "r", "target": "t", "files": ["e.csv"]}
    with pytest.raises(InvalidDataError, match=r"no column 'source' \(for source\)"):
        build(tmp_path, interactions=[{"files": ["r.csv"]}], edges=[entry])
    columns = {"columns": {"source": "a", "target": "b"}}
    _, report = build(tmp_path, interactions=[{"files": ["r.csv"]}], edges=[entry | columns])
    assert report.findings["missing ids"].examples == ["e.csv:2: target = None"]


def test_attributes_of_json_keep_their_types(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"id": "a", "year": 1999}\n{"id": "b", "year": 2001}\n', encoding="utf-8")
    rows = read_table(
        tmp_path / "items.jsonl", name="items.jsonl", settings=AttributesSource(node="item", files=["items.jsonl"])
    )
    graph, _ = (
        GraphBuilder(GraphSettings())
        .add_interactions({"user_id": ["u"], "item_id": ["a"]})
        .add_attributes(rows, node="item")
        .build()
    )
    assert graph.nodes["item"]["year"].to_pylist() == [1999, 2001]
