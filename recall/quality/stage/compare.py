"""Two runs on the same users and the same held-out items, user by user.

What is tested are the differences of each user's metrics: users differ far more from each other than runs do. Interval
and p are those of the paired t-test (SciPy), which agrees with the randomisation test on retrieval metrics (Smucker,
Allan and Carterette, CIKM 2007) at a hundredth of its cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field
from scipy.stats import ttest_rel

from gnn.evaluation.held_out import FEW, MANY
from gnn.evaluation.metrics import Values, hit_metrics
from kg.arrays import IntArray
from kg.errors import InvalidDataError
from kg.progress import SILENT, Progress
from recall.config.sections import EvaluationSettings
from recall.quality.held_out import Common, RunData
from recall.quality.places import Places
from recall.quality.stage.evaluate import check_cutoffs
from recall.quality.stage.report import Interval
from recall.runs.config import read_section
from recall.runs.layout import RunLayout
from recall.runs.report import ReportPart
from recall.serve.loading import channel_kinds

METRICS = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")
LEVEL = 0.95
LEAST_USERS = 2
EVERYBODY = "users in common"


class Difference(ReportPart):
    """One metric of two runs on one group of users."""

    group: str = Field(description="of users")
    users: int = Field(description="in it")
    metric: str = Field(description='such as "recall@100"')
    first: float = Field(description="mean of the first run")
    second: float = Field(description="mean of the second run")
    difference: float = Field(description="second less first, mean over users")
    interval: Interval = Field(description="95% interval of the difference")
    p: float = Field(description="of the paired t-test that there is no difference, two-sided")
    better: int = Field(description="users for whom the second is better")
    worse: int = Field(description="users for whom the first is better")


class Comparison(ReportPart):
    """Two runs beside each other."""

    runs: tuple[str, str] = Field(description="their ids; differences are the second's less the first's")
    k: tuple[int, ...] = Field(description="cut-offs")
    users: int = Field(description="users who were asked")
    items: int = Field(description="items that both know, the only ones ranked")
    notes: tuple[str, ...] = Field(default=(), description="what differs between their data, in words")
    differences: tuple[Difference, ...] = Field(default=(), description="one a group, cut-off and metric")


def compare_runs(
    first: RunLayout,
    second: RunLayout,
    *,
    ks: Sequence[int] | None = None,
    sample_users: int | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Test whether what two runs serve differs on held-out items that the evaluation models of neither have seen.

    Runs of different graphs or splits are compared on what they have in common: users with training in both, items that
    both know, and held-out items of the second that are new to the first; the notes say so.

    Args:
        first: a run; its checksums are compared first.
        second: another one.
        ks: cut-offs, 1 to 1000; None: those of the second one's configuration.
        sample_users: users at most, a seeded choice; 0: all; None: as the second one's configuration says.
        progress: listener.

    Raises:
        ArtifactError: a run is damaged.
        ConfigError: a cut-off is out of range.
        InvalidDataError: both are the same run, or have no held-out users in common.
    """
    check_cutoffs(ks)
    if first.path.resolve() == second.path.resolve():
        raise InvalidDataError(f"{first.name} would be compared with itself: name two runs")
    with first.hold(), second.hold(), progress.task("comparing", total=3) as task:
        for run in (first, second):
            channel_kinds(run)
            run.verify()
        settings = read_section(second, "evaluation", EvaluationSettings) or EvaluationSettings()
        old, new = RunData(first), RunData(second)
        common = Common(new, old)
        limit = settings.sample if sample_users is None else sample_users or None
        asked = common.held_out(len(new.graph.users) if limit is None else limit)
        if len(asked) < LEAST_USERS:
            raise InvalidDataError(
                f"{first.name} and {second.name} cannot be compared: {len(asked)} users have training in both and "
                f"held-out items that neither has seen. They have {common.num_users:,} users (of "
                f"{len(old.graph.users):,} and {len(new.graph.users):,}) and {common.num_items:,} items (of "
                f"{len(old.graph.items):,} and {len(new.graph.items):,}) in common; compare runs of the same data and "
                "split"
            )
        task.advance()
        cutoffs = sorted(set(ks or settings.k))
        values = []
        for data in (old, new):
            ranked = common.rank(data.evaluation_pipeline(), asked, min(max(cutoffs), common.num_items), of=data)
            hits = Places(len(new.graph.items)).inside(asked.truth, ranked)
            values.append(hit_metrics(hits, asked.truth.counts, cutoffs))
            task.advance()
        likes = new.split.positives(new.graph, "train").counts[asked.user]
    rows: list[Difference] = []
    for group, chosen in _groups(likes):
        for k in cutoffs:
            for metric in METRICS:
                before, now = values[0][k][metric][chosen], values[1][k][metric][chosen]
                rows.append(paired(before, now, group=group, metric=f"{metric}@{k}"))
    return Comparison(
        runs=(first.name, second.name),
        k=tuple(cutoffs),
        users=len(asked),
        items=common.num_items,
        notes=tuple(_notes(common, old, new)),
        differences=tuple(rows),
    )


def paired(before: Values, now: Values, *, group: str, metric: str) -> Difference:
    """The paired test of one metric.

    Args:
        before: of each user by the first run, float64 (users,), at least two.
        now: of the same users by the second.
        group: their name.
        metric: its name.
    """
    change = now - before
    mean = float(change.mean())
    if (change == change[0]).all():  # no spread, of which no test can be made
        low = high = mean
        p = 1.0 if mean == 0 else 0.0
    else:
        test = ttest_rel(now, before)
        low, high = test.confidence_interval(LEVEL)
        p = float(test.pvalue)
    return Difference(
        group=group,
        users=len(change),
        metric=metric,
        first=float(before.mean()),
        second=float(now.mean()),
        difference=mean,
        interval=(float(low), float(high)),
        p=p,
        better=int((change > 0).sum()),
        worse=int((change < 0).sum()),
    )


def _groups(likes: IntArray) -> Iterator[tuple[str, IntArray]]:
    yield EVERYBODY, np.arange(len(likes))
    for name, there in (("users with few likes", likes <= FEW), ("users with many likes", likes > MANY)):
        if there.sum() >= LEAST_USERS:
            yield name, np.flatnonzero(there)


def _notes(common: Common, old: RunData, new: RunData) -> Iterator[str]:
    """What of the two runs' data was left out because the other one does not have it."""
    for what, shared, before, now in (
        ("users", common.num_users, len(old.graph.users), len(new.graph.users)),
        ("items", common.num_items, len(old.graph.items), len(new.graph.items)),
    ):
        if not shared == before == now:
            yield (
                f"the graphs differ: {shared:,} {what} are in both, of {before:,} in the first and {now:,} in the "
                "second; only those are compared"
            )
    if not same_split(old, new):
        yield (
            "the splits differ: only held-out items of the second run are asked that are in no training or validation "
            "part of the first"
        )


def same_split(old: RunData, new: RunData) -> bool:
    """Whether both hold out the same interactions."""
    pairs = []
    for data in (old, new):
        interactions, test = data.graph.interactions, data.split.mask("test")
        users = data.graph.users.take(interactions.user[test]).to_pylist()
        items = data.graph.items.take(interactions.item[test]).to_pylist()
        pairs.append(set(zip(users, items, strict=True)))
    return pairs[0] == pairs[1]
