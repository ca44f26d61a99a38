"""The models of the benchmarks: hyper-parameters that validation on the bundled movies chose, once, for all splits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gnn.gcn import GCNConfig
from gnn.lightgcn import LightGCNConfig
from gnn.trainer import TrainingConfig

PER_USER, GLOBAL, COLD = "per_user_time", "global_time", "cold_items"
# As in examples/movies/demo.toml.
SOFTMAX = TrainingConfig(negative_power=0.5, cold_weight=0.1, drop_batch_edges=True, max_steps=140)


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


# The paper's model, whatever the loss: the interaction relation alone, no texts. Without free user embeddings a user is
# the sum of the history; BPR and GCN keep theirs.
PAPER = LightGCNConfig(dim=128, relations=(), text=False, user_embedding=False)
FULL = LightGCNConfig(dim=128, interaction_weight=0.95, user_embedding=False, knowledge_degree=1_000_000)
BPR = TrainingConfig(loss="bpr", l2=1e-3, max_steps=400)

RECIPES = {
    "heterogeneous, graph and text": Recipe(model=FULL, sections=(PER_USER, GLOBAL, COLD)),
    "LightGCN, sampled softmax": Recipe(model=PAPER, sections=(PER_USER, GLOBAL)),
    "heterogeneous, graph alone": Recipe(model=replace(FULL, text=False), sections=(PER_USER, COLD), most_seeds=1),
    "heterogeneous, text alone": Recipe(model=replace(FULL, relations=()), sections=(COLD,)),
    "heterogeneous, graph shuffled": Recipe(model=FULL, sections=(COLD,), shuffled=True, most_seeds=1),
    "GCN": Recipe(model=GCNConfig(dim=64, relations=(), text=False), most_seeds=1),
    "LightGCN, BPR": Recipe(model=replace(PAPER, dim=64, user_embedding=True), training=BPR, most_seeds=1),
}

# Chosen on gowalla's validation part (gowalla_data.split): no texts, no knowledge there, and popularity counts.
GOWALLA = Recipe(
    model=LightGCNConfig(dim=64, layers=3, relations=(), text=False),
    training=TrainingConfig(
        temperature=0.12,
        negatives=2048,
        negative_power=1.0,
        batch_size=32_768,
        max_steps=600,
        eval_every=50,
        patience=3,
        cold_weight=0.0,
    ),
    sections=(),
)
