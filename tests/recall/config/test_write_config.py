"""A configuration written elsewhere, with changed values."""

from __future__ import annotations

from pathlib import Path

import pytest

from kg.errors import ConfigError
from kg.io.files import write_text
from recall.config.deployment import load_config
from recall.tuning.spaces import MODEL


def test_a_config_written_elsewhere_means_the_same_files(tmp_path: Path) -> None:
    from ingest.build import file_sources
    from recall.config.deployment import read_config
    from recall.config.file import write_config

    base = tmp_path / "a [1] *b" / "deep"
    for name in ("movies.nt", "part [x].csv", "p-1.csv", "p-2.csv", "train.csv", "test.csv", "model/config.json"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(base / name, "x")
    write_text(tmp_path / "absolute.csv", "x")
    text = f"""
    seed = 7
    [graph.nodes.movie]
    text = "a \\"quoted\\" {{name}} \\u00e9\\n"
    [[sources.rdf]]
    files = ["movies.nt"]
    [[sources.interactions]]
    train = ["train.csv"]
    test = ["./sub/../test.csv"]
    [[sources.events]]
    relation = "tagged"
    files = ["p-*.csv", "part [x].csv", "{tmp_path}/absolute.csv"]
    [text]
    model = "model"
    [neo4j]
    uri = "bolt://h"
    password_file = "secret.txt"
    [tune]
    keep = ["channels.lightgcn"]
    """
    (base / "sub").mkdir()
    write_text(base / "config.toml", text)
    before = load_config(base / "config.toml")
    data = read_config(base / "config.toml")
    changes = {"relations": ("genre",), "training.learning_rate": 1e-05, "training.loss": None}
    for target in (base / "b.toml", base.parent / "b.toml", tmp_path / "new" / "er" / "b.toml"):
        write_config(
            data,
            {f"{MODEL}.{name}": value for name, value in changes.items()},
            target,
            base=base,
            heading="two\nlines",
        )
        assert target.read_text().startswith("# two\n# lines\n\n")
        after = load_config(target)
        files = [
            [file.path.resolve() for source in file_sources(c.sources, base=c.base) for file in source.files]
            for c in (after, before)
        ]
        assert files[0] == files[1]
        assert len(files[0]) == 7
        assert after.runs_folder == before.runs_folder == base / "runs"
        assert after.text == before.text
        assert after.neo4j == before.neo4j
        assert after.channels.lightgcn.relations == ("genre",)
        assert after.channels.lightgcn.training.learning_rate == 1e-5
        same = ("seed", "graph", "split", "quality", "tune", "evaluation")
        assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}
    assert read_config(base / "config.toml") == data, "what was read is left alone"
    with pytest.raises(ConfigError, match=r"channels\.lightgcn\.dim = 0 must be at least 1"):
        write_config(data, {f"{MODEL}.dim": 0}, tmp_path / "bad.toml", base=base, heading="")
    assert not (tmp_path / "bad.toml").exists()
