"""The models of the benchmarks: hyper-parameters that validation on the bundled movies chose, once, for all splits."""

from __future__ import annotations

from dataclasses import dataclass

from gnn.gcn import GCNConfig
from gnn.lightgcn import LightGCNConfig
from gnn.trainer import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model and how it is trained.

    Attributes:
        model: encoder and its hyper-parameters; they say whether texts are used.
        training: loss and schedule.
        cold_items: also measured on cold items.
        shuffled: an ablation, trained on rewired knowledge.
    """

    model: LightGCNConfig | GCNConfig
    training: TrainingConfig
    cold_items: bool = False
    shuffled: bool = False


# The paper's model, whatever the loss: the interaction relation alone, no texts.
PAPER = LightGCNConfig(relations=(), text=False)
SOFTMAX = TrainingConfig()

RECIPES = {
    "GCN": Recipe(model=GCNConfig(relations=(), text=False), training=SOFTMAX),
    "LightGCN, BPR": Recipe(model=PAPER, training=TrainingConfig(loss="bpr", l2=1e-3, max_steps=400)),
    "LightGCN, sampled softmax": Recipe(model=PAPER, training=SOFTMAX, cold_items=True),
    "heterogeneous, graph alone": Recipe(model=LightGCNConfig(text=False), training=SOFTMAX, cold_items=True),
    "heterogeneous, text alone": Recipe(model=LightGCNConfig(relations=()), training=SOFTMAX, cold_items=True),
    "heterogeneous, graph and text": Recipe(model=LightGCNConfig(), training=SOFTMAX, cold_items=True),
    "heterogeneous, graph shuffled": Recipe(model=LightGCNConfig(), training=SOFTMAX, cold_items=True, shuffled=True),
}
