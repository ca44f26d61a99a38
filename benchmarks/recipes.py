"""The models of the benchmarks: hyper-parameters that validation on the bundled movies chose, once, for all splits."""

from __future__ import annotations

from dataclasses import dataclass

from gnn.gcn import GCNConfig
from gnn.lightgcn import LightGCNConfig
from gnn.trainer import TrainingConfig

PER_USER, GLOBAL, COLD = "per_user_time", "global_time", "cold_items"
SOFTMAX = TrainingConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model and how it is trained.

    Attributes:
        model: encoder and its hyper-parameters; they say whether texts are used.
        training: loss and schedule.
        sections: where it is measured.
        most_seeds: trained from no more starts than this; the slow references need no spread.
        shuffled: an ablation, trained on rewired knowledge.
    """

    model: LightGCNConfig | GCNConfig
    training: TrainingConfig = SOFTMAX
    sections: tuple[str, ...] = (PER_USER,)
    most_seeds: int = 100
    shuffled: bool = False


# The paper's model, whatever the loss: the interaction relation alone, no texts.
PAPER = LightGCNConfig(relations=(), text=False)
BPR = TrainingConfig(loss="bpr", l2=1e-3, max_steps=400)
EVERYWHERE = (PER_USER, GLOBAL, COLD)

RECIPES = {
    "GCN": Recipe(model=GCNConfig(relations=(), text=False), most_seeds=1),
    "LightGCN, BPR": Recipe(model=PAPER, training=BPR, most_seeds=1),
    "LightGCN, sampled softmax": Recipe(model=PAPER, sections=(PER_USER, GLOBAL)),
    "heterogeneous, graph alone": Recipe(model=LightGCNConfig(text=False), sections=EVERYWHERE),
    "heterogeneous, text alone": Recipe(model=LightGCNConfig(relations=()), sections=(COLD,)),
    "heterogeneous, graph and text": Recipe(model=LightGCNConfig(), sections=EVERYWHERE),
    "heterogeneous, graph shuffled": Recipe(model=LightGCNConfig(), sections=(COLD,), shuffled=True),
}
