"""RecBole's LightGCN by its public API, on given pairs: its dataset, its data loader, its model and its trainer.

The trainer is a subclass, as RecBole's documentation has it for other ways of training, that looks at the clock after
each batch; loss, optimiser and sampling of negatives are RecBole's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.model.general_recommender import LightGCN
from recbole.trainer import Trainer
from recbole.utils import init_seed
from snapshots import BudgetSpent, Snapshots, arguments

NAME = "pairs"


class Timed(Trainer):  # type: ignore[misc]
    """RecBole's trainer with a clock."""

    def __init__(self, config: Any, model: Any, snapshots: Snapshots) -> None:
        super().__init__(config, model)
        self._snapshots = snapshots

    def _train_epoch(self, train_data: Any, *arguments: Any, **more: Any) -> Any:
        return super()._train_epoch(_TimedBatches(train_data, self._snapshots), *arguments, **more)


class _TimedBatches:
    """A data loader that reports each batch to the clock once it has been trained on."""

    def __init__(self, loader: Any, snapshots: Snapshots) -> None:
        self._loader, self._snapshots = loader, snapshots

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._loader:
            yield batch
            self._snapshots.after_step()


def main() -> None:
    given = arguments()
    pairs = np.load(given.pairs)
    with TemporaryDirectory(prefix="recbole-") as folder:
        (Path(folder) / NAME).mkdir()
        for part, rows in (("train", pairs), ("valid", pairs[:1]), ("test", pairs[:1])):
            with (Path(folder) / NAME / f"{NAME}.{part}.inter").open("w", encoding="ascii") as file:
                file.write("user_id:token\titem_id:token\n")
                np.savetxt(file, rows, fmt="%d", delimiter="\t")
        config = Config(
            model="LightGCN",
            dataset=NAME,
            config_dict={
                "data_path": folder,
                "checkpoint_dir": str(Path(folder) / "saved"),
                "benchmark_filename": ["train", "valid", "test"],
                "use_gpu": torch.cuda.is_available(),
                "embedding_size": given.dim,
                "n_layers": given.layers,
                "train_batch_size": given.batch,
                "learning_rate": given.learning_rate,
                "seed": given.seed,
                "epochs": 1_000_000,
                "show_progress": False,
            },
        )
        torch.set_num_threads(given.threads)
        init_seed(config["seed"], config["reproducibility"])
        dataset = create_dataset(config)
        train, _, _ = data_preparation(config, dataset)
        model = LightGCN(config, train._dataset).to(config["device"])
        # RecBole numbers the ids as they come, 0 being nobody; an item without a training pair has no number.
        users, items = (
            np.array([int(token) for token in dataset.field2id_token[field][1:]]) for field in ("user_id", "item_id")
        )

        @torch.no_grad()
        def vectors() -> tuple[torch.Tensor, torch.Tensor]:
            result = []
            for final, known, count in zip(model(), (users, items), (given.users, given.items), strict=True):
                rows = torch.zeros(count, given.dim)
                rows[torch.from_numpy(known)] = final[1:].cpu()
                result.append(rows)
            return result[0], result[1]

        snapshots = Snapshots(given.out, given.seconds, given.snapshots, vectors)
        trainer = Timed(config, model, snapshots)
        snapshots.start()
        with contextlib.suppress(BudgetSpent):
            trainer.fit(train, saved=False, verbose=False, show_progress=False)


if __name__ == "__main__":
    main()
