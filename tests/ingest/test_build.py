from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest import DataSettings, GraphBuilder, GraphSettings, QualityReport, build_graph, validate
from ingest.build import file_sources
from kg import KnowledgeGraph, RelationKey, SplitConfig, split_interactions
from kg.errors import ConfigError, InvalidDataError
from kg.history import InteractionHistory

CONFIG = """
[graph]
user = "user"
item = "book"
positive = "rating >= 4"

[graph.nodes.book]
key = "https://example.org/book/{id}"
text = "{name} by {author}"
noun = "novel"
label = "Novel"

[graph.relations.author]
phrase = "was written by"
cypher_type = "WROTE"

[[sources.rdf]]
files = ["rdf/*.ttl", "more.nt"]

[[sources.interactions]]
files = ["ratings.csv"]
columns = { user = "reader", item = "book", rating = "stars" }

[[sources.interactions]]
relation = "bought"
files = ["bought.csv"]
"""
PREFIXES = (
    "@prefix s: <https://schema.org/> . @prefix b: <https://example.org/book/> . @prefix e: <https://example.org/> ."
)


def write(folder: Path, **changes: str) -> Path:
    files = {
        "rdf/a.ttl": f'{PREFIXES} b:1 a s:Book ; s:name "Emma" ; s:author e:austen . b:2 a s:Book ; s:name "Ulysses" .',
        "rdf/b.ttl": f'{PREFIXES} e:austen a s:Person ; s:name "Jane Austen" . [] a s:Person ; s:name "Nobody" .',
        "more.nt": "<https://example.org/book/2> <https://schema.org/author> <https://example.org/joyce> .\n",
        "ratings.csv": "reader,book,stars\nann,1,5\nann,2,2\nbob,2,4\n",
        "bought.csv": "user_id,item_id\nann,1\n",
        **changes,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def build(folder: Path, config: str = CONFIG, **options: Any) -> tuple[KnowledgeGraph, QualityReport]:
    return build_graph(validate(DataSettings, tomllib.loads(config)), base=folder, **options)


def test_a_configuration_becomes_a_graph(tmp_path: Path) -> None:
    graph, report = build(write(tmp_path))
    assert graph.items.ids.to_pylist() == ["1", "2"]
    assert graph.texts("book").to_pylist() == ["Emma by Jane Austen", "Ulysses by https://example.org/joyce"]
    assert graph.users.ids.to_pylist() == ["ann", "bob"]
    assert set(graph.nodes) == {"user", "book", "person"}
    assert graph.schema.node_types["book"].noun == "novel"
    assert graph.schema.node_types["book"].label == "Novel"
    author = graph.schema.relations[RelationKey("book", "author", "person")]
    assert (author.phrase, author.cypher_type, author.predicate) == (
        "was written by",
        "WROTE",
        "https://schema.org/author",
    )
    assert graph.schema.interaction == RelationKey("user", "rated", "book")
    assert RelationKey("user", "bought", "book") in graph.schema.events()
    assert int(graph.interactions.positive.sum()) == 2
    assert [(s.name, s.read) for s in report.sources] == [
        ("rdf/a.ttl", 5), ("rdf/b.ttl", 4), ("more.nt", 1), ("ratings.csv", 3), ("bought.csv", 1),
    ]  # fmt: skip
    assert report.findings["dangling references"].examples == ["person: https://example.org/joyce"]
    assert report.counts == graph.counts()


def test_source_files_are_those_that_are_read(tmp_path: Path) -> None:
    settings = validate(DataSettings, tomllib.loads(CONFIG))
    sources = file_sources(settings.sources, base=write(tmp_path))
    paths = [file.path.relative_to(tmp_path).as_posix() for source in sources for file in source.files]
    assert paths == ["rdf/a.ttl", "rdf/b.ttl", "more.nt", "ratings.csv", "bought.csv"]


def test_the_fingerprint_of_a_source_is_that_of_its_files(tmp_path: Path) -> None:
    settings, folder = validate(DataSettings, tomllib.loads(CONFIG)), write(tmp_path)

    def fingerprints() -> dict[str, str]:
        return {source.name: source.fingerprint() for source in file_sources(settings.sources, base=folder)}

    before = fingerprints()
    assert list(before) == ["rdf/a.ttl, rdf/b.ttl, more.nt", "ratings.csv", "bought.csv"]
    assert fingerprints() == before
    ratings = folder / "ratings.csv"
    ratings.write_text(ratings.read_text() + "cid,1,5,1\n")
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"ratings.csv"}
    ratings.unlink()
    with pytest.raises(InvalidDataError, match=r"ratings\.csv does not exist"):
        fingerprints()


def test_a_pattern_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"no file matches 'rdf/\*\.trig'"):
        build(write(tmp_path), CONFIG.replace("*.ttl", "*.trig"))


def test_too_much_set_aside_names_the_numbers_and_the_key(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"more.nt": "bad\n" + "<https://e.org/s> <https://e.org/p> <https://e.org/o> .\n"})
    with pytest.raises(InvalidDataError) as caught:
        build(folder)
    for word in ("more.nt: 1 of 2 (50%)", "quality.max_set_aside = 0.1", "more.nt:1: "):
        assert word in str(caught.value)
    assert build(folder, CONFIG + "\n[quality]\nmax_set_aside = 0.5\n")[1].sources[2].set_aside == 1


def names_in_order(graph: KnowledgeGraph) -> dict[str, list[str]]:
    history = InteractionHistory.of(graph)
    return {
        user: graph.items.take(history.sequence(np.array([at]))[0]).to_pylist()
        for at, user in enumerate(graph.users.ids.to_pylist())
    }


def test_repeats_stay_in_the_sequence_of_a_user(tmp_path: Path) -> None:
    rows = ["ann,b,5,30", "ann,a,1,20", "bob,a,5,7", "ann,a,5,40", "ann,a,5,10", "ann,a,5,10"]
    (tmp_path / "r.csv").write_text("\n".join(["user,book,rating,timestamp", *rows]))
    config = """
    [graph]
    item = "book"
    positive = "rating >= 4"
    [[sources.interactions]]
    relation = "read"
    files = ["r.csv"]
    columns = {user = "user", item = "book"}
    """
    graph, report = build(tmp_path, config)
    assert names_in_order(graph) == {"ann": ["a", "a", "a", "b", "a"], "bob": ["a"]}
    assert len(graph.interactions) == 3
    assert graph.interactions.timestamp.tolist() == [40, 30, 7], "the latest stands for the pair"
    assert report.findings["duplicate interactions"].count == 3
    assert InteractionHistory.of(graph).sequence(np.array([0])).positive.tolist() == [True, True, False, True, True]
    (tmp_path / "r.csv").write_text("\n".join(["user,book,rating,timestamp", *reversed(rows)]))
    again, _ = build(tmp_path, config)
    assert again.repeats.keys() == graph.repeats.keys()
    assert all(table.equals(again.repeats[key]) for key, table in graph.repeats.items())


def test_lists_keep_their_order_and_their_repeats(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 12 10 11 10\n1 13 10\n")
    (tmp_path / "test.txt").write_text("1 12 10\n0 9\n")
    config = """
    [graph]
    item = "place"
    [[sources.interactions]]
    relation = "visited"
    format = "lists"
    train = ["train.txt"]
    test = ["test.txt"]
    """
    graph, _ = build(tmp_path, config)
    assert names_in_order(graph) == {"0": ["12", "10", "11", "10", "9"], "1": ["13", "10", "12", "10"]}
    split = split_interactions(graph, SplitConfig(kind="files", valid=0))
    assert names_in_order(split.view(graph, "train")) == {"0": ["12", "10", "11", "10"], "1": ["13", "10"]}
    longer = "0 12 10 11 10 13\n"
    (tmp_path / "train.txt").write_text(longer + "1 13 10\n")
    edges = build(tmp_path, config)[0].edges
    (key,) = edges
    assert edges[key]["order"].to_pylist()[-3:] == graph.edges[key]["order"].to_pylist()[-3:], "those of others stay"


def test_parts_given_by_files(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 10 11 12\n1 10\n\n2\n")
    (tmp_path / "test.txt").write_text("0 13\n1 11 10\n")
    config = """
    [graph]
    item = "place"
    [[sources.interactions]]
    relation = "visited"
    format = "lists"
    train = ["train.txt"]
    test = ["test.txt"]
    """
    graph, report = build(tmp_path, config)
    assert graph.items.ids.to_pylist() == ["10", "11", "12", "13"]
    split = split_interactions(graph, SplitConfig(kind="files", valid=0))
    assert split.to_table(graph).sort_by([("user_id", "ascending"), ("item_id", "ascending")]).to_pylist() == [
        {"user_id": u, "item_id": i, "part": p}
        for u, i, p in [("0", "10", "train"), ("0", "11", "train"), ("0", "12", "train"), ("0", "13", "test"),
                        ("1", "10", "train"), ("1", "11", "test")]
    ]  # fmt: skip
    assert report.findings["duplicate interactions"].count == 1, "a pair of both parts stays in training only"
    (tmp_path / "train.txt").write_bytes("0 10 11 12\n1 10\n".replace("\n", "\r\n").encode("utf-8-sig"))
    assert build(tmp_path, config)[0].users.ids.to_pylist() == ["0", "1"]
    (tmp_path / "test.txt").write_text("0\n\n")
    with pytest.raises(InvalidDataError, match=r"test\.txt is empty"):
        build(tmp_path, config)


def test_an_rdflib_graph_gives_what_its_file_gives(tmp_path: Path) -> None:
    import rdflib

    path = write(tmp_path) / "rdf" / "a.ttl"
    from_file, _ = GraphBuilder(GraphSettings(item="book")).add_rdf(path).build()
    from_graph, report = GraphBuilder(GraphSettings(item="book")).add_rdf(rdflib.Graph().parse(path)).build()
    assert {n: t.to_pylist() for n, t in from_file.nodes.items()} == {
        n: t.to_pylist() for n, t in from_graph.nodes.items()
    }
    assert {k: t.to_pylist() for k, t in from_file.edges.items()} == {
        k: t.to_pylist() for k, t in from_graph.edges.items()
    }
    assert report.sources[0].name == "rdflib graph 1"


def test_without_interactions_the_graph_has_none(tmp_path: Path) -> None:
    graph, _ = GraphBuilder(GraphSettings(item="book")).add_rdf(write(tmp_path) / "rdf" / "a.ttl").build()
    assert graph.schema.interaction is None
    assert graph.num_nodes("user") == 0


def test_no_items_are_refused_naming_the_types_there(tmp_path: Path) -> None:
    builder = GraphBuilder(GraphSettings(item="movie")).add_rdf(write(tmp_path) / "rdf" / "a.ttl")
    with pytest.raises(InvalidDataError, match=r"graph\.item = 'movie'.*author.*book"):
        builder.build()


def test_the_interaction_must_be_named_when_rdf_has_several(tmp_path: Path) -> None:
    path = tmp_path / "x.nt"
    path.write_text(
        "".join(
            f"<https://e.org/{s}> <{p}> <{o if o.startswith('http') else 'https://e.org/' + o}> .\n"
            for s, p, o in [
                ("u", "http://www.w3.org/1999/02/22-rdf-syntax-ns#type", "https://e.org/User"),
                ("i", "http://www.w3.org/1999/02/22-rdf-syntax-ns#type", "https://e.org/Item"),
                ("u", "https://e.org/likes", "i"),
                ("u", "https://e.org/owns", "i"),
            ]
        )
    )
    with pytest.raises(ConfigError, match=r"likes, owns.*graph\.interaction"):
        GraphBuilder(GraphSettings()).add_rdf(path).build()
    graph, _ = GraphBuilder(GraphSettings(interaction="owns")).add_rdf(path).build()
    assert graph.schema.interaction == RelationKey("user", "owns", "item")
    assert RelationKey("user", "likes", "item") in graph.schema.events()
    with pytest.raises(ConfigError, match=r"graph\.interaction = 'sells'.*likes, owns"):
        GraphBuilder(GraphSettings(interaction="sells")).add_rdf(path).build()


def test_the_report_as_json_and_as_text(tmp_path: Path) -> None:
    _, report = build(
        write(tmp_path, **{"ratings.csv": "reader,book,stars\nann,1,5\n" + "ann,9,2\n" * 9 + "bob,2,NaN\n"})
    )
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    kinds = {finding["kind"]: finding for finding in data["findings"]}
    assert kinds["missing ratings"]["examples"] == ["ratings.csv:12: rating = 'NaN'"]
    assert kinds["duplicate interactions"]["count"] == 8
    assert kinds["items the graph lacks"] | {"explanation": ""} == {
        "kind": "items the graph lacks", "severity": "warning", "count": 1, "explanation": "", "examples": ["book 9"],
    }  # fmt: skip
    text = report.to_text()
    for line in ("ratings.csv (interactions): 11 read, 1 set aside", "    ratings.csv:12: rating = 'NaN'"):
        assert line in text.splitlines()
    assert text.index("warning: ") < text.index("info: ")


def test_a_builder_builds_once() -> None:
    builder = GraphBuilder(GraphSettings()).add_interactions({"user_id": ["u"], "item_id": ["i"]})
    builder.build()
    with pytest.raises(InvalidDataError, match="already"):
        builder.build()


def test_reasons_are_those_of_the_source_that_is_refused() -> None:
    builder = GraphBuilder(GraphSettings(), now=100)
    builder.add_interactions({"user_id": ["u"] * 20, "item_id": ["i"] * 20, "timestamp": [-1] + [5] * 19}, name="one")
    with pytest.raises(InvalidDataError, match=r"^two: 1 of 1 .*future timestamps: 1 \(") as caught:
        builder.add_interactions({"user_id": ["u"], "item_id": ["i"], "timestamp": [101]}, name="two")
    assert "negative" not in str(caught.value)


def test_examples_stop_at_five() -> None:
    report = QualityReport()
    for n in range(9):
        report.add("odd", 2, "why", [f"e{n}", "e0"])
    report.add("nothing", 0, "why")
    assert (report.findings["odd"].count, len(report.findings["odd"].examples)) == (18, 5)
    assert "nothing" not in report.findings


def test_progress_is_told(tmp_path: Path) -> None:
    from contextlib import contextmanager

    class Listener:
        def __init__(self) -> None:
            self.seen: dict[str, list[int]] = {}

        @contextmanager
        def task(self, description: str, *, total: int | None = None) -> Any:
            steps: list[int] = self.seen.setdefault(description, [total or 0])

            class Task:
                def advance(self, count: int = 1) -> None:
                    steps.append(count)

                def note(self, text: str) -> None:
                    pass

            yield Task()

    listener = Listener()
    build(write(tmp_path), progress=listener)
    for name in ("rdf/a.ttl", "more.nt"):
        total, *steps = listener.seen[f"reading {name}"]
        assert total == sum(steps) == (tmp_path / name).stat().st_size
    assert "reading ratings.csv" in listener.seen
