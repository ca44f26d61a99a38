from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gnn.text.cache import TextCache
from gnn.text.encoder import TextConfig, TextEncoder
from gnn.text.features import TextFeatures, encode_graph
from kg import KnowledgeGraph
from kg.errors import ArtifactError
from kg.topology.adjacency import Numbering


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(TextConfig(precision="float32"), device="cpu")


@pytest.fixture(scope="module")
def graph(toy_graph: KnowledgeGraph) -> KnowledgeGraph:
    """The toy graph, with texts on genres too and gaps among both."""
    movies, genres = toy_graph.nodes["movie"], toy_graph.nodes["genre"]
    texts = movies["text"].to_pylist()
    texts[0], texts[7], texts[39] = None, "", " "
    movies = movies.set_column(movies.column_names.index("text"), "text", pa.array(texts))
    genres = genres.append_column("text", pa.array([None, "drama", "horror", "space opera"]))
    return KnowledgeGraph(toy_graph.schema, {**toy_graph.nodes, "movie": movies, "genre": genres}, toy_graph.edges)


@pytest.fixture(scope="module")
def features(graph: KnowledgeGraph, encoder: TextEncoder) -> TextFeatures:
    return encode_graph(graph, encoder)


def test_every_text_sits_at_its_node(graph: KnowledgeGraph, encoder: TextEncoder, features: TextFeatures) -> None:
    numbering = Numbering.of(graph)
    assert features.nodes.dtype == np.int64
    assert features.vectors.dtype == np.float32
    assert features.model == encoder.space
    expected = [
        (numbering.span(name).start + row, text)
        for name in graph.nodes
        if graph.texts(name) is not None
        for row, text in enumerate(graph.texts(name).to_pylist())
        if text and text.strip()
    ]
    assert len(expected) == 37 + 3
    assert features.nodes.tolist() == [node for node, _ in expected]
    np.testing.assert_allclose(features.vectors, encoder.encode([text for _, text in expected]), atol=2e-6)
    assert (np.diff(features.nodes) > 0).all()


def test_rows_of_one_type(graph: KnowledgeGraph, encoder: TextEncoder, features: TextFeatures) -> None:
    rows, vectors = features.of(Numbering.of(graph), "genre")
    assert rows.tolist() == [1, 2, 3]
    np.testing.assert_allclose(vectors, encoder.encode(["drama", "horror", "space opera"]), atol=2e-6)
    assert len(features.of(Numbering.of(graph), "user")[0]) == 0


def test_a_cache_changes_nothing(
    graph: KnowledgeGraph, encoder: TextEncoder, features: TextFeatures, tmp_path: Path
) -> None:
    for _ in range(2):
        cached = encode_graph(graph, encoder, cache=TextCache(tmp_path))
        assert cached.nodes.tolist() == features.nodes.tolist()
        np.testing.assert_allclose(cached.vectors, features.vectors, atol=2e-6)


def test_a_graph_without_texts(toy_graph: KnowledgeGraph, encoder: TextEncoder, tmp_path: Path) -> None:
    movies = toy_graph.nodes["movie"].drop_columns(["text"])
    bare = KnowledgeGraph(toy_graph.schema, {**toy_graph.nodes, "movie": movies}, toy_graph.edges)
    for cache in (None, TextCache(tmp_path)):
        none = encode_graph(bare, encoder, cache=cache)
        assert none.nodes.shape == (0,)
        assert none.vectors.shape == (0, encoder.dim)


def test_saved_and_loaded(features: TextFeatures, tmp_path: Path) -> None:
    features.save(tmp_path / "text")
    again = TextFeatures.load(tmp_path / "text")
    np.testing.assert_array_equal(again.nodes, features.nodes)
    np.testing.assert_array_equal(again.vectors, features.vectors)
    assert again.model == features.model


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.json", None, "is missing"),
        ("text.json", b"{", "is damaged"),
        ("text.json", b'{"format_version": 99}', "another format version"),
        ("text.json", b'{"format_version": 1, "rows": 2, "dim": 3, "model": ""}', "does not hold the 2 rows"),
        ("text.safetensors", None, "cannot be read"),
        ("text.safetensors", b"\0" * 50, "cannot be read"),
    ],
)
def test_damaged_files_are_refused(
    features: TextFeatures, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    features.save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        TextFeatures.load(tmp_path)
