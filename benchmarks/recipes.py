"""The models of the benchmarks: hyper-parameters that validation on the bundled movies chose, once, for all splits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gnn.graph.gcn import GCNConfig
from gnn.graph.lightgcn import LightGCNConfig
from gnn.settings import TrainingConfig

PER_USER, GLOBAL, COLD = "per_user_time", "global_time", "cold_items"
WARM = TrainingConfig(negative_power=0.5, drop_batch_edges=True, cold_weight=0.0, max_steps=300)
SOFTMAX = TrainingConfig(negative_power=0.5, cold_weight=0.1, drop_batch_edges=True, max_steps=140)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One model and how it is trained.

    Attributes:
        model: encoder and its hyper-parameters; they say whether texts are used.
        training: loss and schedule.
        sections: where it is measured.
        steps, beta: what validation on the per-user split chose; None: the training says.
        most_seeds: trained from no more starts than this; the references need no spread.
        shuffled: an ablation, trained on rewired knowledge.
    """

    model: LightGCNConfig | GCNConfig
    training: TrainingConfig = WARM
    sections: tuple[str, ...] = (PER_USER,)
    steps: int | None = None
    beta: float | None = None
    most_seeds: int = 100
    shuffled: bool = False


# Users are the sum of their history; texts and knowledge place the items that nobody has touched
# (gnn.graph.cold_start).
MAIN = Recipe(
    model=LightGCNConfig(dim=256, user_embedding=False, knowledge="cold_items"),
    sections=(PER_USER, GLOBAL, COLD),
    steps=240,
    beta=0.25,
)
# Texts and knowledge everywhere, with simulated cold start.
FULL = LightGCNConfig(dim=128, interaction_weight=0.95, user_embedding=False, knowledge_degree=1_000_000)
EVERYWHERE = Recipe(model=FULL, training=SOFTMAX, sections=(PER_USER, GLOBAL, COLD), steps=100, beta=0.5, most_seeds=1)

RECIPES = {
    "LightGCN with user embeddings": replace(
        MAIN, model=MAIN.model.changed(user_embedding=True), sections=(PER_USER,), most_seeds=1
    ),
    "everywhere: graph and text": EVERYWHERE,
    "everywhere: text alone": replace(EVERYWHERE, model=FULL.changed(relations=()), sections=(PER_USER, GLOBAL)),
    "everywhere: graph alone": replace(EVERYWHERE, model=FULL.changed(text=False), sections=(PER_USER, GLOBAL)),
    "everywhere: graph shuffled": replace(EVERYWHERE, sections=(PER_USER, GLOBAL), shuffled=True),
}

# Chosen on gowalla's validation part (gowalla_data.split): no texts, no knowledge there, and popularity counts.
GOWALLA = Recipe(
    model=LightGCNConfig(dim=64, layers=3, relations=(), text=False),
    training=TrainingConfig(
        temperature=0.12,
        negatives=1024,
        negative_power=1.0,
        whole_users=True,
        batch_size=131_072,
        max_steps=600,
        eval_every=25,
        patience=4,
        betas=(0.0, 0.5),
        priors=(0.08, 0.12, 0.16),
        validation_users=3000,
        cold_weight=0.0,
    ),
    sections=(),
)
