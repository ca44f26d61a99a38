"""SASRec beside a peer: what the peer is given, and how what it ranks is measured."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import peer_environment, results, sequence_peer, sequences

# In place of RecTools, whose environment takes 5 GB: ranks what it was told that users have, and then all in order.
SCRIPT = """
import argparse, pathlib, numpy as np
parser = argparse.ArgumentParser()
parser.add_argument("--interactions")
parser.add_argument("--out", type=pathlib.Path)
given, _ = parser.parse_known_args()
stored = np.load(given.interactions)
assert all(np.diff(stored["order"][stored["user"] == user]).tolist() == [1] * (sum(stored["user"] == user) - 1)
           for user in range(5))
for epoch in (1, 2):
    rows = [(user, item, rank) for user in stored["asked"]
            for rank, item in enumerate([i for i in range(6) if i not in stored["item"][stored["user"] == user]], 1)]
    user, item, rank = np.array(rows[: None if epoch == 2 else 1]).T
    np.savez(given.out / f"{epoch:04}.npz", user=user, item=item, rank=rank, seconds=epoch * 1.5, epoch=epoch)
"""


def test_the_best_epoch_of_the_peer_stands_beside_ours(small_beauty, tmp_path, monkeypatch):
    (tmp_path / "rectools_sasrec.py").write_text(SCRIPT)
    (tmp_path / "rectools.txt").write_text("rectools==1\n")
    for module in (peer_environment, sequence_peer):
        monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(sequence_peer, "environment", lambda name: sys.executable)
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    kind, config = sequences.MODELS["sasrec"]
    short = config.changed(training=config.training.changed(max_steps=4, eval_every=2))
    monkeypatch.setitem(sequences.MODELS, "sasrec", (kind, short))
    sequence_peer.main(["--data", str(small_beauty)])
    kept = json.loads((tmp_path / "sequence_peer.json").read_text(encoding="utf-8"))
    own, peer = kept["rows"]
    assert own["model"] == "graphrecall SASRec"
    assert own["steps"] in (2, 4)
    # The peer ranks all six items; ours those that the training has touched, three of the five that are looked for.
    assert (own["recall@20"], peer["recall@20"]) == (pytest.approx(3 / 5), 1)
    assert (peer["epoch"], peer["seconds"]) == (2, 3.0)
    assert [row["epoch"] for row in kept["curve"]] == [1, 2]
    assert kept["curve"][0]["recall@20"] < 1
    assert kept["requirements"] == ["rectools==1"]
