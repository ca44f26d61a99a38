from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from gnn.graph.embeddings import Embeddings
from kg import KnowledgeGraph
from kg.errors import ConfigError
from recall.channels import ItemKNN, ItemKNNConfig, LightGCNChannel, Popularity
from recall.contracts import FitData, LoadData
from recall.explain import Explainer, Explanation
from recall.explain.drawing import draw_explanation
from recall.explain.drawing.layers import Layers
from recall.explain.drawing.page import Page, text_width, wrap
from recall.explain.drawing.paths import draw_paths
from recall.explain.drawing.reason_graph import ReasonGraph
from recall.explain.drawing.shares import bars_height, draw_shares, share_rows
from recall.pipeline import Pipeline
from tests.recall.explain.loop_walk import WEIGHTS, LoopWalk, LoopWalkConfig

Model = Callable[..., Embeddings]


@pytest.fixture(scope="module")
def explainer(toy_graph: KnowledgeGraph, linear_model: Model) -> Explainer:
    movies = toy_graph.nodes["movie"]
    titles = [
        f"{t} $x_2$ <b> -- ]]> 千と [bold]" if n % 3 else "Wordwithoutanyspace" * 9
        for n, t in enumerate(movies["title"].to_pylist())
    ]
    at = movies.column_names.index("title")
    graph = KnowledgeGraph(
        toy_graph.schema,
        {**toy_graph.nodes, "movie": movies.set_column(at, "title", pa.array(titles))},
        toy_graph.edges,
    )
    channel = LightGCNChannel.of(linear_model(graph), LoadData.of(graph))
    return Explainer(graph, Pipeline.of(graph, [channel]))


@pytest.fixture(scope="module")
def explanations(explainer: Explainer) -> dict[str, Explanation]:
    explain = explainer.explain
    graph = explainer.graph
    data = FitData.of(graph)
    popular = Explainer(graph, Pipeline.of(graph, [Popularity().fit(data)]))
    walk = LoopWalk(LoopWalkConfig(weights={name: weight for name, weight in WEIGHTS.items() if name != "cast"}))
    by_paths = [
        Explainer(graph, Pipeline.of(graph, [channel.fit(data)])).explain([("u3", "m2")])[0]
        for channel in (walk, LoopWalk())
    ]
    fused = Explainer(graph, Pipeline.of(graph, [walk, ItemKNN(ItemKNNConfig(neighbours=9)).fit(data)]))
    return {
        "usual": explain([("u3", "m2")])[0],
        "users named": explain([("u3", "m2")], show_users=True)[0],
        "many hops": explain([("u3", "m4")], max_hops=4)[0],
        "no paths": explain([("u3", "m2")], paths=0)[0],
        "no shares": popular.explain([("u3", "m2")])[0],
        "many paths": explain([("u3", "m2")], paths=12)[0],
        "by paths": by_paths[0],
        "by long paths": by_paths[1],
        "fused": fused.explain([("u3", "m2")])[0],
        "seen": explain([("u3", explain([("u3", "m2")])[0].history[0].node.id)])[0],  # type: ignore[union-attr]
    }


CASES = (
    "by paths",
    "by long paths",
    "fused",
    "usual",
    "users named",
    "many hops",
    "no paths",
    "no shares",
    "many paths",
    "seen",
)


@pytest.mark.parametrize("case", ["usual", "many hops", "no paths", "no shares", "by paths", "fused"])
def test_images_of_all_kinds_are_written(explanations: dict[str, Explanation], case: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    draw_explanation(explanations[case], tmp_path / "e.png")
    pixels = imread(tmp_path / "e.png")
    assert pixels.shape[1] == 1200
    assert len({tuple(p) for p in pixels[::7, ::7].reshape(-1, pixels.shape[2]).tolist()}) > 8
    assert [path.name for path in tmp_path.iterdir()] == ["e.png"]


def test_svg_is_well_formed_with_any_title(explanations: dict[str, Explanation], tmp_path: Path) -> None:
    draw_explanation(explanations["usual"], str(tmp_path / "e.svg"))
    root = ElementTree.parse(tmp_path / "e.svg").getroot()  # noqa: S314
    assert root.tag.endswith("svg")
    assert len(list(root.iter())) > 100
    text = "".join(root.itertext())
    assert "千と" in text  # whoever shows it may have the glyphs
    assert "Why " in text


def test_what_no_svg_can_hold_is_replaced(explanations: dict[str, Explanation], tmp_path: Path) -> None:
    usual = explanations["usual"]
    item = replace(usual.item, title="a\x1b[2J\u202eb\x00")
    draw_explanation(replace(usual, item=item), tmp_path / "e.svg")
    text = "".join(ElementTree.parse(tmp_path / "e.svg").getroot().itertext())  # noqa: S314
    assert "a\ufffd[2J\ufffdb\ufffd" in text


@pytest.mark.parametrize("case", CASES)
def test_boxes_stay_apart_and_on_the_page(explanations: dict[str, Explanation], case: str) -> None:
    layers = Layers(explanations[case])
    boxes = layers.boxes
    for n, a in enumerate(boxes):
        assert 0 < a.x - a.width / 2 < a.x + a.width / 2 < 12
        assert abs(a.y) + a.height / 2 <= layers.height / 2
        for b in boxes[n + 1 :]:
            apart = abs(a.y - b.y) >= (a.height + b.height) / 2 or abs(a.x - b.x) >= (a.width + b.width) / 2
            assert apart, (a.lines, b.lines)
        assert all(text_width(line, 9) <= a.width for line in a.lines)


@pytest.mark.parametrize("case", ["usual", "many hops", "no shares", "seen", "by paths"])
def test_labels_do_not_cover_one_another(explanations: dict[str, Explanation], case: str) -> None:
    layers = Layers(explanations[case])
    page = Page(layers.height)
    draw_paths(page, layers, top=layers.height, bottom=0)
    overlaps = 0
    for n, (a, b, c, d) in enumerate(page.occupied):
        for e, f, g, h in page.occupied[n + 1 :]:
            across, up = min(c, g) - max(a, e), min(d, h) - max(b, f)
            overlaps += across > 0.02 and up > 0.02
    assert len(page.occupied) > 10
    assert overlaps == 0


@pytest.mark.parametrize("case", ["many hops", "by paths", "fused"])
def test_labels_of_two_lines_have_no_sign_for_what_cannot_be_shown(
    explanations: dict[str, Explanation], case: str
) -> None:
    explanation = explanations[case]
    layers = Layers(explanation)
    page = Page(layers.height + bars_height(explanation))
    draw_paths(page, layers, top=layers.height, bottom=0)
    draw_shares(page, explanation, top=layers.height + bars_height(explanation))
    texts = [text.get_text() for text in page.axes.texts]
    assert any("\n" in text for text in texts)
    assert not [text for text in texts if "\ufffd" in text]


def test_width_follows_the_share(explanations: dict[str, Explanation]) -> None:
    explanation = explanations["usual"]
    graph = ReasonGraph(explanation)
    shares = {reason.share for reason in (*explanation.history, *explanation.neighbours)}
    solid = [edge for edge in graph.edges if edge.share is not None]
    for edge in solid:
        if len(edge.phrases) == 1:
            assert any(edge.share == pytest.approx(share) for share in shares)
        assert edge.near is graph.user or edge.far is graph.item
    inner = [edge for edge in graph.edges if edge not in solid]
    assert inner
    assert all(edge.near is not graph.user and edge.far is not graph.item for edge in inner)
    lines = Layers(explanation).lines
    assert [(line.label, line.share) for line in lines] == [(edge.label, edge.share) for edge in graph.edges]
    assert all(line.share is None for line in Layers(explanations["no shares"]).lines)


@pytest.mark.parametrize("case", ["by paths", "by long paths", "fused"])
def test_every_edge_of_a_path_is_as_wide_as_the_paths_along_it(explanations: dict[str, Explanation], case: str) -> None:
    explanation = explanations[case]
    assert explanation.path_reasons is not None
    layers = Layers(explanation)
    drawn = sum(line.share for line in explanation.path_reasons.lines)
    leaving = [line.share for line in layers.lines if line.boxes[0] is layers.user]
    arriving = [line.share for line in layers.lines if line.boxes[-1] is layers.item]
    assert None not in leaving
    assert sum(share or 0.0 for share in leaving) == pytest.approx(drawn)
    assert sum(share or 0.0 for share in arriving) == pytest.approx(drawn)
    for box in layers.boxes:  # what goes into a node comes out of it
        if box.lines and box not in (layers.user, layers.item):
            into = sum(line.share or 0.0 for line in layers.lines if line.boxes[-1] is box)
            out = sum(line.share or 0.0 for line in layers.lines if line.boxes[0] is box)
            assert into == pytest.approx(out)
    names = [reason.text for _, rows in share_rows(explanation) for reason in rows]
    assert [line.text for line in explanation.path_reasons.lines] == names[: len(explanation.path_reasons.lines)]


def test_nobody_else_is_drawn_by_name(explanations: dict[str, Explanation]) -> None:
    for case in ("usual", "users named"):
        texts = [line for box in Layers(explanations[case]).boxes for line in box.lines]
        assert any("other users" in text for text in texts)
        assert not [text for text in texts if text.startswith("u") and text[1:].isdigit()]


def test_only_png_and_svg(explanations: dict[str, Explanation], tmp_path: Path) -> None:
    for name in ("e.pdf", "e", "e.png.txt"):
        with pytest.raises(ConfigError, match=r"must end in \.png or \.svg"):
            draw_explanation(explanations["usual"], tmp_path / name)
    assert not list(tmp_path.iterdir())
    draw_explanation(explanations["no paths"], tmp_path / "E.PNG")
    assert (tmp_path / "E.PNG").exists()


def test_the_plots_of_others_are_left_alone() -> None:
    code = (
        "import sys, recall.explain.drawing, matplotlib\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "def settings():  # item by item: reading the backend through rcParams would choose one\n"
        "    return {key: dict.__getitem__(matplotlib.rcParams, key) for key in matplotlib.rcParams}\n"
        "before = settings()\n"
        "page = recall.explain.drawing.page.Page(2.0); page.text(1, 1, 'a')\n"
        "import pathlib, tempfile\n"
        "page.save(pathlib.Path(tempfile.mkdtemp()) / 'a.png', 'png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrapping() -> None:
    lines = wrap("The Lord of the Rings: The Fellowship of the Ring", 1.6, 9, 3)
    assert len(lines) == 3
    assert " ".join(lines) == "The Lord of the Rings: The Fellowship of the Ring"
    cut = wrap("Wordwithoutanyspace" * 9, 1.6, 9, 2)
    assert len(cut) == 2
    assert cut[-1].endswith("…")
    assert all(text_width(line, 9) <= 1.6 for line in [*lines, *cut])
    assert wrap("", 1.0, 9, 2) == [""]


def test_scores_that_are_not_positive_show_shares_as_they_are(explanations: dict[str, Explanation]) -> None:
    usual = explanations["usual"]
    plain = replace(
        usual,
        score=-1.0,
        history=tuple(replace(r, fraction=None) for r in usual.history),
        neighbours=tuple(replace(r, fraction=None) for r in usual.neighbours),
    )
    labels = [line.label for line in Layers(plain).lines if line.share is not None]
    assert labels
    assert not [label for label in labels if "%" in label]


@pytest.mark.parametrize("case", ["usual", "by paths", "by long paths", "fused", "no shares"])
def test_plain_data_of_the_drawn_graph(explanations: dict[str, Explanation], case: str) -> None:
    explanation = explanations[case]
    graph = ReasonGraph(explanation).to_json()
    nodes, edges = graph["nodes"], graph["edges"]
    assert (nodes[0]["kind"], nodes[0]["id"], nodes[0]["column"]) == ("user", explanation.user_id, 0)
    assert (nodes[1]["kind"], nodes[1]["id"]) == ("item", explanation.item_id)
    assert {edge["near"] for edge in edges} | {edge["far"] for edge in edges} == set(range(len(nodes)))
    others = [node for node in nodes[2:] if node["type"] == explanation.user.type]
    assert not any(node["id"] for node in others)
    assert json.loads(json.dumps(graph)) == graph
