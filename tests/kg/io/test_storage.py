from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from kg import Event, KnowledgeGraph, NodeType, Relation, RelationKey, Schema
from kg.errors import ArtifactError
from kg.io import files, graph_folder
from kg.io.files import digest, read_json, write_json
from kg.io.graph_folder import INDEX, load_graph, save_graph
from kg.io.parquet import read_table, write_table

HOSTILE = ("../../etc/passwd", "a/b", "A/B", "nul\x00l", "", "ü" * 200, "con", "..", "a\nb")


def assert_same(first: KnowledgeGraph, second: KnowledgeGraph) -> None:
    assert first.schema == second.schema
    assert list(first.nodes) == list(second.nodes)
    assert list(first.edges) == list(second.edges)
    for name, table in first.nodes.items():
        assert table.schema.equals(second.nodes[name].schema)
        assert table.equals(second.nodes[name])
    for key, table in first.edges.items():
        assert table.schema.equals(second.edges[key].schema)
        assert table.equals(second.edges[key])


@pytest.fixture
def saved(toy_graph: KnowledgeGraph, tmp_path: Path) -> Path:
    folder = tmp_path / "graph"
    save_graph(toy_graph, folder)
    return folder


def test_round_trip(toy_graph: KnowledgeGraph, saved: Path) -> None:
    assert_same(load_graph(saved), toy_graph)
    index = read_json(saved / INDEX)
    assert index["format_version"] == 1
    assert index["library_version"]
    assert sum(entry["rows"] for entry in index["nodes"]) == sum(toy_graph.counts()["nodes"].values())
    assert {path.name for path in saved.iterdir()} == {INDEX} | {e["file"] for e in index["nodes"] + index["edges"]}


def test_repeats_are_stored_and_old_folders_have_none(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    key = toy_graph.schema.interaction_key
    graph = KnowledgeGraph(toy_graph.schema, toy_graph.nodes, toy_graph.edges, {key: toy_graph.edges[key].slice(0, 2)})
    save_graph(graph, tmp_path / "g")
    again = load_graph(tmp_path / "g")
    assert again.repeats[key].equals(graph.repeats[key])
    assert_same(again, toy_graph)
    body = {
        name: value for name, value in read_json(tmp_path / "g" / INDEX).items() if name not in ("digest", "repeats")
    }
    write_json(tmp_path / "g" / INDEX, {**body, "digest": digest(body)})
    assert load_graph(tmp_path / "g").repeats == {}


def test_checksums_are_left_out_where_the_caller_has_compared_them(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(graph_folder, "checksum", lambda path: hashed.append(path) or files.checksum(path))
    load_graph(saved, verify=False)
    assert hashed == []
    load_graph(saved)
    assert len(hashed) == len(list(saved.iterdir())) - 1


def test_methods_do_the_same(toy_graph: KnowledgeGraph, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()  # an empty folder is as good as none
    save_graph(toy_graph, tmp_path / "g")
    assert_same(load_graph(tmp_path / "g"), toy_graph)
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_every_kind_of_column_survives(tmp_path: Path) -> None:
    key = RelationKey("user", "rated", "item")
    schema = Schema(
        {"user": NodeType(name="user"), "item": NodeType(name="item")},
        {key: Relation(key=key, event=Event())},
        interaction=key,
    )
    items = pa.table(
        {
            "id": ["i1", "i2"],
            "genres": pa.array([["a", None], None]),
            "when": pa.array([0, None], pa.timestamp("us", "UTC")),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "nothing": pa.nulls(2),
            "inner": pa.array([{"a": 1}, None]),
        }
    )
    none = pa.array([], pa.string())
    graph = KnowledgeGraph.build(
        schema, {"user": pa.table({"id": none}), "item": items}, {key: pa.table({"src": none, "dst": none})}
    )
    save_graph(graph, tmp_path / "g")
    assert_same(load_graph(tmp_path / "g"), graph)


def test_hostile_names_stay_in_the_folder(tmp_path: Path) -> None:
    keys = [RelationKey(name, name, HOSTILE[0]) for name in HOSTILE]
    schema = Schema({name: NodeType(name=name) for name in HOSTILE}, {key: Relation(key=key) for key in keys})
    graph = KnowledgeGraph.build(
        schema,
        {name: pa.table({"id": [name, "x"]}) for name in HOSTILE},
        {key: pa.table({"src": ["x"], "dst": ["x"]}) for key in keys},
    )
    save_graph(graph, tmp_path / "g")
    assert [path.name for path in tmp_path.iterdir()] == ["g"]
    names = [path.name for path in (tmp_path / "g").iterdir()]
    assert len({name.lower() for name in names}) == len(names) == 2 * len(HOSTILE) + 1
    assert all(name.isascii() and len(name) < 80 for name in names)
    assert_same(load_graph(tmp_path / "g"), graph)


def test_a_full_folder_is_not_touched(toy_graph: KnowledgeGraph, saved: Path) -> None:
    before = {path: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(ArtifactError, match="is not empty"):
        save_graph(toy_graph, saved)
    assert {path: path.read_bytes() for path in saved.iterdir()} == before


def test_a_failure_leaves_nothing(toy_graph: KnowledgeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full_disk(path: Path) -> None:
        calls.append(path)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_graph(toy_graph, tmp_path / "g")
    assert list(tmp_path.iterdir()) == []


def test_any_changed_file_is_named(saved: Path) -> None:
    for path in sorted(saved.iterdir()):
        content = path.read_bytes()
        changed = bytearray(content)
        changed[len(content) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ArtifactError, match=path.name):
            load_graph(saved)
        path.unlink()
        with pytest.raises(ArtifactError, match=rf"{path.name} is missing"):
            load_graph(saved)
        path.write_bytes(content)
    load_graph(saved)


def reseal(folder: Path, **changes: object) -> None:
    body = {key: value for key, value in read_json(folder / INDEX).items() if key != "digest"} | changes
    write_json(folder / INDEX, {**body, "digest": digest(body)})


def test_another_format_version_is_refused(saved: Path) -> None:
    reseal(saved, format_version=2)
    with pytest.raises(ArtifactError, match="has format version 2, this graphrecall reads 1"):
        load_graph(saved)


def test_another_count_is_refused(saved: Path) -> None:
    nodes = read_json(saved / INDEX)["nodes"]
    nodes[1]["rows"] += 1
    reseal(saved, nodes=nodes)
    with pytest.raises(ArtifactError, match=rf"{nodes[1]['file']} has 40 rows, graph\.json says 41"):
        load_graph(saved)


def test_no_file_outside_is_read(saved: Path) -> None:
    nodes = read_json(saved / INDEX)["nodes"]
    nodes[0]["file"] = "../" + nodes[0]["file"]
    reseal(saved, nodes=nodes)
    with pytest.raises(ArtifactError, match="which is not in its folder"):
        load_graph(saved)


def test_an_index_that_describes_no_graph(saved: Path) -> None:
    reseal(saved, schema={"node_types": []})
    with pytest.raises(ArtifactError, match="does not describe a graph"):
        load_graph(saved)
    (saved / INDEX).write_text(json.dumps([]))
    with pytest.raises(ArtifactError, match="holds no object"):
        load_graph(saved)


def test_parquet_files_are_whole_or_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "t.parquet"
    write_table(pa.table({"a": [1, None]}), path)
    assert read_table(path).to_pydict() == {"a": [1, None]}
    assert [p.name for p in path.parent.iterdir()] == ["t.parquet"]
    with pytest.raises(ArtifactError, match=r"none\.parquet is missing"):
        read_table(tmp_path / "none.parquet")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"t\.parquet cannot be read"):
        read_table(path)
