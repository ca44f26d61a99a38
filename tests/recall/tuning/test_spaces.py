"""What is searched on a graph, and mistakes in the section [tune]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kg.errors import ConfigError
from recall.config.deployment import load_config, parse_config
from recall.config.search_space import TuneSettings
from recall.config.sections import LIGHTGCN
from recall.tuning.spaces import MODEL, search_spaces
from tests.recall.tuning.support import prepared_of


def test_what_would_change_nothing_on_a_graph_is_not_searched(searchable: Path, tmp_path: Path) -> None:
    prepared = prepared_of(searchable, tmp_path / "prepared")
    ranges = TuneSettings().space()
    model = {name for name in ranges if name.startswith(f"{MODEL}.")}
    training = {name for name in model if name.startswith(f"{MODEL}.training.")}

    def spaces(lightgcn: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]) -> dict[str, set[str]]:
        channels = {"lightgcn": lightgcn or {}}
        one = {"channels": ["lightgcn"]}
        config = parse_config({"sources": {}, "channels": channels, "pipeline": one, **sections}, base=tmp_path)
        return {name: set(space) for name, space in search_spaces(config, prepared).items()}

    def left_out(lightgcn: Mapping[str, Any] | None = None, **tune: Any) -> set[str]:
        return {name.removeprefix(f"{MODEL}.") for name in model - spaces(lightgcn, tune=tune)[LIGHTGCN]}

    assert spaces() == {LIGHTGCN: model}
    assert left_out({"relations": []}) == {"interaction_weight", "knowledge_degree"}
    assert left_out({"text": False}) == {"text_scale"}
    assert left_out({"knowledge": "cold_items"}) == {"interaction_weight", "knowledge_degree", "text_scale"}
    both = {"lightgcn": {"knowledge": ["everywhere", "cold_items"]}}
    assert left_out({"knowledge": "cold_items"}, channels=both) == set()
    assert left_out({"training": {"loss": "bpr"}}) == {"training.temperature"}
    losses = {"lightgcn": {"training": {"loss": ["bpr", "softmax"]}}}
    assert left_out({"training": {"loss": "bpr"}}, channels=losses) == set()
    assert left_out({"text": False}, channels={"lightgcn": {"text_scale": [0.1, 0.2]}}) == set()
    assert left_out(keep=[f"{MODEL}.training", f"{MODEL}.dim"]) == {
        name.removeprefix(f"{MODEL}.") for name in training | {f"{MODEL}.dim"}
    }
    kept = [*sorted(model - training - {f"{MODEL}.text_scale"}), f"{MODEL}.training"]
    with pytest.raises(ConfigError, match="leaves nothing to search that would change anything"):
        spaces({"text": False}, tune={"keep": kept})
    # Channels: those that serve, and those whose ranges somebody wrote.
    pipeline = {"channels": ["lightgcn", "item_knn", "ease", "popularity"]}
    knn = {name for name in ranges if name.startswith("channels.item_knn.")}
    assert spaces(pipeline=pipeline) == {LIGHTGCN: model, "item_knn": knn, "ease": {"channels.ease.regularisation"}}
    assert list(spaces(pipeline=pipeline))[-1] == LIGHTGCN, "the quick ones first"
    assert set(spaces(pipeline=pipeline, tune={"keep": ["channels.ease"]})) == {LIGHTGCN, "item_knn"}
    assert set(spaces(pipeline=pipeline, tune={"keep": [MODEL]})) == {"ease", "item_knn"}
    written = {"channels": {"item_knn": {"shrinkage": [0.0, 1.0]}}}
    assert spaces(tune=written) == {LIGHTGCN: model, "item_knn": knn}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[@]\ndimm = [1]", "@.dimm: unknown key, did you mean 'dim'?"),
        ("[tune.chanels]\ndim = [1]", "tune.chanels: unknown key, did you mean 'channels'?"),
        ("[@]\ndim = []", "@.dim = []: list at least one value"),
        (
            "[@]\ndim = 8",
            "@.dim = 8: write a list of values, or { low = ..., high = ... }",
        ),
        ("[@]\ndim = [8, 8]", "@.dim: 8 is there twice"),
        ("[@]\ndim = [8, 0]", "@.dim = 0 must be at least 1"),
        (
            "[@]\nlayers = { low = 3, high = 2 }",
            "@.layers: low = 3 is above high = 2: the range is",
        ),
        (
            "[@]\nlayers = { low = 0, high = 2 }",
            "@.layers = 0 must be at least 1",
        ),
        (
            "[@]\nlayers = { low = 1.5, high = 2 }",
            "@.layers = 1.5 must be a valid integer",
        ),
        ("[@]\nlayers = { low = 1 }", "@.layers.high: missing"),
        (
            "[@.training]\nnode_dropout = { low = 0, high = 1 }",
            "@.training.node_dropout = 1 must be below 1",
        ),
        (
            "[@.training]\nl2 = { low = 0, high = 1, log = true }",
            "@.training.l2: low = 0 must be above 0 where log = true",
        ),
        (
            "[@.training]\nl2 = { low = 0, high = inf }",
            "@.training.l2.high: write a finite number",
        ),
        (
            "[@.training]\nl2 = { low = 1, high = 2, log = true, step = 1 }",
            "@.training.l2: log and step do not go together",
        ),
        (
            "[@.training]\nloss = ['softmx']",
            "@.training.loss = \"softmx\" must be 'softmax' or 'bpr'",
        ),
        (
            "[@.training]\nmax_steps = [10]",
            "@.training.max_steps is not searched: the number of steps is found",
        ),
        (
            "[tune]\nkeep = ['channels.lightgcn.dmi']",
            "tune: keep names 'channels.lightgcn.dmi', which is not searched anyway; did you mean",
        ),
        ("[tune]\nkeep = ['channels.eas']", "tune: keep names 'channels.eas', which is not searched anyway; did you"),
        ("[tune.channels.eas]\nweights = [5]", "tune.channels.eas: unknown key, did you mean 'ease'?"),
        ("[tune.channels.ease]\nweight = [5]", "tune.channels.ease.weight: unknown key, did you mean 'weights'?"),
        ("[tune.channels.ease]\nweights = [0]", "ease.weights = 0 must be at least 1"),
        ("[tune.channels.cheby]\nseed = [1, 2]", "tune.channels.cheby.seed is not searched: the best of several"),
        ("[tune]\nmetric = 'auc'", "tune.metric = \"auc\" must be 'recall'"),
        ("[tune]\nk = 0", "tune.k = 0 must be at least 1"),
    ],
)
def test_each_kind_of_mistake_in_what_is_searched(tmp_path: Path, text: str, expected: str) -> None:
    text, expected = text.replace("@", "tune.channels.lightgcn"), expected.replace("@", "tune.channels.lightgcn")
    file = tmp_path / "config.toml"
    file.write_text(f"[sources]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert expected in message
    assert "1 problem" in message
    assert message.count("\n") == 1, "one problem, one line"
