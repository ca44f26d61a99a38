"""RecTools' SASRec by its public API, on given interactions: an epoch at a time, and what it ranks after each.

Imports nothing of graphrecall. Only the epochs count as seconds, not what is ranked between them.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

COLUMNS = {"user": Columns.User, "item": Columns.Item, "rank": Columns.Rank}


def main() -> None:
    given = arguments()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    with np.load(given.interactions) as stored:
        frame = pd.DataFrame(
            {
                Columns.User: stored["user"],
                Columns.Item: stored["item"],
                Columns.Weight: 1.0,
                Columns.Datetime: pd.to_datetime(stored["order"], unit="s"),
            }
        )
        asked = stored["asked"]
    dataset = Dataset.construct(frame)
    model = SASRecModel(
        n_factors=given.dim,
        n_blocks=given.blocks,
        n_heads=given.heads,
        dropout_rate=given.dropout,
        session_max_len=given.length,
        loss="sampled_softmax",
        n_negatives=given.negatives,
        lr=given.learning_rate,
        batch_size=given.batch,
        recommend_torch_device="cpu",
    )
    spent, epoch = 0.0, 0
    while spent < given.seconds:
        start = time.perf_counter()
        model.fit_partial(dataset, min_epochs=1, max_epochs=1)
        spent += time.perf_counter() - start
        epoch += 1
        ranked = model.recommend(users=asked, dataset=dataset, k=given.k, filter_viewed=True)
        columns = {name: ranked[column].to_numpy() for name, column in COLUMNS.items()}
        np.savez(given.out / f"{epoch:04}.npz", seconds=spent, epoch=epoch, **columns)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("interactions", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("threads", "seed", "dim", "blocks", "heads", "length", "negatives", "batch", "k"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("seconds", "dropout", "learning-rate"):
        parser.add_argument(f"--{name}", type=float, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
