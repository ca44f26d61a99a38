"""Config errors name every bad key, the value, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg.errors import ConfigError
from recall.config.deployment import load_config, parse_config

GOOD = """
seed = 3
[graph]
user = "user"
item = "movie"
positive = "rating >= 4"
[[sources.rdf]]
files = ["movies.nt.gz"]
[[sources.interactions]]
files = ["ratings.csv"]
columns = {user = "userId", item = "movieId", rating = "rating", timestamp = "timestamp"}
[split]
test = 0.2
[channels.lightgcn]
dim = 32
[index]
kinds = ["hnsw"]
[evaluation]
k = [10, 20]
[runs]
folder = "../published"
[demo]
user = "1"
"""


def refused(tmp_path: Path, text: str) -> str:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.toml")
    assert "c.toml" in str(caught.value)
    return str(caught.value)


def test_a_good_config_and_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.toml").write_text(GOOD)
    config = load_config(tmp_path / "deep" / "c.toml")
    assert config.seed == 3
    assert config.channels.lightgcn.dim == 32
    assert config.channels.lightgcn.layers == 2
    assert config.index.kinds == ("hnsw",)
    assert config.evaluation.k == (10, 20)
    assert config.runs_folder == tmp_path / "published"
    assert config.demo.user == "1"
    again = parse_config(config.to_json(), base=tmp_path / "deep")
    assert again.to_json() == config.to_json()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("dim = 32", 'dims = 32\nlayers = "2"').replace("test = 0.2", "test = 1.5\nkind = 'random'")
    text = text.replace("k = [10, 20]", "k = [0, 20]\nbaselines = ['popular']")
    message = refused(tmp_path, text)
    assert "5 problems" in message
    assert "channels.lightgcn.dims: unknown key, did you mean 'dim'?" in message
    assert 'channels.lightgcn.layers = "2" must be a valid integer' in message
    assert "split.test = 1.5 must be below 1" in message
    assert "evaluation.k.0 = 0 must be at least 1" in message
    assert "evaluation.baselines.0: there is no channel 'popular': did you mean 'popularity'?" in message


def test_a_list_whose_only_entry_is_refused_is_one_problem(tmp_path: Path) -> None:
    message = refused(tmp_path, GOOD + '\n[pipeline]\nchannels = ["walks"]\n')
    assert "1 problem" in message
    assert "pipeline.channels.0: there is no channel 'walks'" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[split]", "[splits]", "splits: unknown key, did you mean 'split'?"),
        ("seed = 3", "zzz = 3", "zzz: unknown key; the keys there are "),
        ("seed = 3", "seed = 3.5", "seed = 3.5 must be a valid integer"),
        ("seed = 3", f"seed = {2**63}", f"seed = {2**63} is larger than any number"),
        ("seed = 3", "seed = true", "seed = true must be a valid integer"),
        ('folder = "../published"', "folder = 5", "runs.folder = 5 must be "),
        ('folder = "../published"', "keep = 0", "runs.keep = 0 must be at least 1"),
        ('user = "1"', "user = 1", "demo.user = 1 must be a valid string"),
        (
            'files = ["movies.nt.gz"]',
            'files = ["movies.nt.gz"]\nformt = "turtle"',
            "sources.rdf.0.formt: unknown key, did you mean 'format'?",
        ),
        ('files = ["movies.nt.gz"]', "", "sources.rdf.0.files: missing"),
        (
            'item = "movieId"',
            'items = "movieId"',
            "sources.interactions.0.columns.items: unknown key, did you mean 'item'?",
        ),
        ('positive = "rating >= 4"', 'positive = "rating > 4"', "graph.positive: "),
        ('kinds = ["hnsw"]', 'kinds = ["hnws"]', "index.kinds.0 = \"hnws\" must be 'ivf', 'hnsw', 'sq' or 'pq'"),
        ("[demo]", "[channels.lightgcn.training]\nseeds = 1\n[demo]", "channels.lightgcn.training.seeds: unknown key"),
        ("[demo]", "[text]\nmodl = 'x'\n[demo]", "text.modl: unknown key, did you mean 'model'?"),
        ("[demo]", "[sources.neo4j]\n[demo]", "sources.neo4j needs the section neo4j"),
        ("[demo]", "[neo4j]\nuri = 'h:7687'\n[demo]", "neo4j.uri: 'h:7687' is no address of a Neo4j server"),
        ("[demo]", "[neo4j]\nuri = 'bolt://h'\ntimeout = 0\n[demo]", "neo4j.timeout = 0 must be above 0"),
        (
            "[demo]",
            "[neo4j]\nuri = 'bolt://h'\n[sources.neo4j]\nlabel = []\n[demo]",
            "sources.neo4j.label: unknown key, did you mean 'labels'?",
        ),
        (
            "[demo]",
            "[neo4j]\nuri = 'bolt://h'\n[sources.neo4j]\ninteractions = [{type = 'A', ratng = 'B'}]\n[demo]",
            "sources.neo4j.interactions.0.ratng: unknown key, did you mean 'rating'?",
        ),
        ("[split]", "[graph.nodes.movie]\nkey = 'movieId'\n[split]", "graph.nodes.movie.key = 'movieId': write"),
    ],
)
def test_each_kind_of_mistake(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    message = refused(tmp_path, GOOD.replace(old, new))
    assert expected in message
    assert message.count("\n") == 1, "one problem, one line"


def test_files_that_are_no_config(tmp_path: Path) -> None:
    assert "not valid TOML" in refused(tmp_path, "[graph\n")
    assert "nested too deep to be read" in refused(tmp_path, "a = " + "[" * 100_000 + "]" * 100_000)
    for deep in ("." + "a." * 3000 + "a", "a = " + "[" * 40 + "]" * 40, "[" + "a." * 40 + "a]\nb = 1"):
        text = f"graph{deep} = 1" if deep.startswith(".") else deep
        assert "more than 32 deep in each other" in refused(tmp_path, text)
    with pytest.raises(ConfigError, match="there is no config file"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    assert "sources: missing" in refused(tmp_path, "seed = 1\n[graph]\n")
    assert "1 problem:" in refused(tmp_path, "\ufeffseed = 1\n"), "a byte order mark is no problem"


def test_a_config_of_the_first_edition_is_refused_with_the_new_place_of_each_key(tmp_path: Path) -> None:
    first_edition = (Path(__file__).parent / "first_edition_demo.toml").read_text()
    moved = {
        **{f"model.{name}": f"channels.lightgcn.{name}" for name in ("dim", "interaction_weight")},
        **{f"model.{name}": f"channels.lightgcn.{name}" for name in ("user_embedding", "knowledge_degree")},
        **{f"training.{name}": f"channels.lightgcn.training.{name}" for name in ("negative_power", "cold_weight")},
        **{f"training.{name}": f"channels.lightgcn.training.{name}" for name in ("drop_batch_edges", "max_steps")},
    }
    message = refused(tmp_path, first_edition)
    assert message.count("\n") == len(moved)
    assert "first edition" in message
    for old, new in moved.items():
        assert f"  {old} is {new} now" in message
    lines = message.splitlines()
    more = """
    [fusion]
    channels = ["embedding", "ease"]
    weights = {embedding = 1, ease = 2}
    [tune]
    keep = ["model", "training.l2", "channels.ease"]
    [tune.model]
    dim = [4, 8]
    [tune.training]
    """
    assert refused(tmp_path, first_edition + more).splitlines() == [
        *lines,
        '  fusion.channels is pipeline.channels now, and its channel "embedding" is "lightgcn"',
        "  fusion.weights.embedding is fusion.weights.lightgcn now",
        "  tune.model.dim is tune.channels.lightgcn.dim now",
        "  tune.training is tune.channels.lightgcn.training now",
        '  tune.keep: "model" is "channels.lightgcn" now',
        '  tune.keep: "training.l2" is "channels.lightgcn.training.l2" now',
    ]


def test_the_same_config_at_the_new_places_is_taken(tmp_path: Path) -> None:
    text = (Path(__file__).parent / "first_edition_demo.toml").read_text()
    text = text.replace("[model]", "[channels.lightgcn]").replace("[training]", "[channels.lightgcn.training]")
    (tmp_path / "c.toml").write_text(text)
    lightgcn = load_config(tmp_path / "c.toml").channels.lightgcn
    assert (lightgcn.dim, lightgcn.model.dim, lightgcn.training.max_steps) == (128, 128, 140)
