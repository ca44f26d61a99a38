"""Whether a new run may serve: its readings beside those of the run that serves, and their limits.

Both runs answer the same questions (recall.quality.held_out). Their metrics are those of the evaluation models, which
have not seen what is to be found; the lists that changed are those of the serving models. A run that fails is not
thrown away: the caller keeps it, with the readings in its report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import Values, bootstrap_interval, per_user_metrics
from gnn.graph.embeddings import Embeddings
from kg.arrays import IntArray, PairIndex, distinct
from kg.errors import ArtifactError
from kg.io.files import read_json
from kg.progress import SILENT, Progress
from recall.channels import Popularity
from recall.config.gate import ChangeLimits, FirstLimits, GateSettings
from recall.quality.held_out import Common, Questions, RunData
from recall.runs.layout import RunLayout
from recall.serve.recommender import Recommender

Kind = Literal["first", "incremental", "full"]

TOP = 10
KEPT_AT_LEAST = 0.5  # of the top 10, or they count as changed
FEW_EDGES = 100  # a relation with fewer is shown and not judged: a handful more or less says nothing
SELF_CHECK_USERS = 20
SOURCES = ("graph", "sources", "quality")  # sections that decide what a graph holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One thing that was looked at.

    Attributes:
        name: such as "ndcg@20".
        now, before: of the new run and of the one that serves; None where there is none.
        change: what is held against the limit, None where nothing is.
        limit: in the unit of `change`, None where nothing is judged.
        passed: whether it holds.
        text: all of it in words.
    """

    name: str
    now: float | None
    before: float | None = None
    change: float | None = None
    limit: float | None = None
    passed: bool = True
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says.

    Attributes:
        kind: whose limits were applied.
        against: id of the run that serves, or None.
        limits: the settings.
        users: how many were asked for held-out items.
        readings: everything that was looked at.
        note: why nothing was compared although a run serves.
        unfinished: the run holds what is no number, so that it could not be finished and can never serve.
    """

    kind: Kind
    against: str | None
    limits: dict[str, Any]
    users: int
    readings: tuple[Reading, ...]
    note: str | None = None
    unfinished: bool = False

    @classmethod
    def without_numbers(
        cls, settings: GateSettings, reason: str, *, current: RunLayout | None, incremental: bool
    ) -> Verdict:
        """That of a run that could not be finished, for something in it is no number."""
        return cls(
            kind="first" if current is None else "incremental" if incremental else "full",
            against=None if current is None else current.name,
            limits=settings.model_dump(mode="json"),
            users=0,
            readings=(Reading(name="no numbers", now=None, passed=False, text=reason),),
            unfinished=True,
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """What failed, in words; empty when the run may serve."""
        return tuple(reading.text for reading in self.readings if not reading.passed)

    @property
    def passed(self) -> bool:
        """Whether the run may serve."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """Plain data for the report."""
        return {
            "passed": self.passed,
            "reasons": list(self.reasons),
            "kind": self.kind,
            "against": self.against,
            "note": self.note,
            "users": self.users,
            "limits": self.limits,
            "unfinished": self.unfinished,
            "readings": [asdict(reading) for reading in self.readings],
        }


def same_verdict(told: Mapping[str, Any], settings: GateSettings, current: RunLayout | None) -> bool:
    """Whether a verdict would still come out as it was kept: same limits and run to compare with, or a hopeless one."""
    if told.get("unfinished"):
        return True
    return told.get("against") == (None if current is None else current.name) and told.get(
        "limits"
    ) == settings.model_dump(mode="json")


def judge(
    settings: GateSettings,
    run: RunLayout,
    *,
    current: RunLayout | None,
    problem: str | None = None,
    incremental: bool = False,
    progress: Progress = SILENT,
) -> Verdict:
    """Judge a finished run.

    Args:
        settings: the limits.
        run: with everything but, perhaps, a manifest.
        current: the run that serves, intact; None: there is none, and the limits of a first run apply.
        problem: why the run that serves is no measure, for the record.
        incremental: it went on from the one that serves.
        progress: hears of the steps.

    Raises:
        ArtifactError: the new run cannot be loaded.
    """
    with progress.task("checking the new run", total=4) as task:
        new = RunData(run)
        before = None
        if current is not None:
            try:
                before = _answers(new, RunData(current), settings)
            except ArtifactError as error:  # intact, but of a version whose models this one cannot read
                problem = f"the run that serves cannot be read, so that nothing is compared with it: {error}"
        task.advance()
        kind: Kind = "first" if before is None else "incremental" if incremental else "full"
        limits: FirstLimits = getattr(settings, kind)
        common = Common(new, None) if before is None else before.common
        recommender = Recommender.of_run(run, verify=False, graph=new.graph)
        readings = [*_sound(recommender, run)]
        task.advance()
        held_out = common.held_out(settings.users)
        if all(reading.passed for reading in readings):
            k = _cut(common, settings.k)
            lists = common.rank(new.evaluation_channel(), held_out, k, of=new)
            if before is not None and isinstance(limits, ChangeLimits):
                readings += _counts(common, limits)
                readings += _metrics(settings, limits, held_out, lists, before.lists, k, common.num_items)
                served = common.served(settings.users)
                top = common.rank(recommender.channel, served, _cut(common, TOP), of=new)
                readings += _top_changed(limits, top, before.top)
            task.advance()
            popular = common.rank(Popularity().fit(new.view), held_out, k, of=new)
            readings += _alone(settings, limits, held_out, lists, popular, k)
        task.advance()
    return Verdict(
        kind=kind,
        against=None if current is None else current.name,
        limits=settings.model_dump(mode="json"),
        users=len(held_out),
        readings=tuple(readings),
        note=problem,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What the run that serves answers to the common questions.

    Attributes:
        common: the ground of both runs.
        lists: of its evaluation model, to the held-out questions, (users, k).
        top: of its serving model, (users, TOP).
    """

    common: Common
    lists: IntArray
    top: IntArray


def _answers(new: RunData, old: RunData, settings: GateSettings) -> _Answers:
    common = Common(new, old)
    held_out, served = common.held_out(settings.users), common.served(settings.users)
    lists = common.rank(old.evaluation_channel(), held_out, _cut(common, settings.k), of=old)
    serving = Recommender.of_run(old.run, verify=False, graph=old.graph).channel
    return _Answers(common=common, lists=lists, top=common.rank(serving, served, _cut(common, TOP), of=old))


def _cut(common: Common, k: int) -> int:
    return max(min(k, common.num_items), 1)


def _sound(recommender: Recommender, run: RunLayout) -> Iterator[Reading]:
    """Ask the run for candidates before anybody else does, and look at its numbers."""
    bad = 0
    for folder in (run.evaluation_model, run.model):
        found = Embeddings.load(folder)
        bad += sum(int((~np.isfinite(part)).sum()) for part in (found.final, found.item_scale, found.item_prior))
    yield Reading(
        name="no numbers",
        now=float(bad),
        limit=0.0,
        change=float(bad),
        passed=not bad,
        text=f"{bad:,} values of the model's vectors are no numbers",
    )
    graph = recommender.graph
    liked = distinct(graph.interactions.user[graph.interactions.positive])
    users = graph.users.take(liked[np.linspace(0, len(liked) - 1, min(SELF_CHECK_USERS, len(liked))).astype(np.int64)])
    answer = recommender.recommend(users.to_pylist(), k=TOP).table
    interactions = graph.interactions
    pairs = PairIndex.of(interactions.user, interactions.item, len(graph.items))
    seen = int(pairs.contains(graph.users.index(answer["user_id"]), graph.items.index(answer["item_id"])).sum())
    strange = int((~np.isfinite(answer["score"].to_numpy())).sum())
    wrong = [
        text
        for text, found in (
            (f"no candidate for any of {len(users)} users", not answer.num_rows),
            (f"{strange} scores that are no numbers", bool(strange)),
            (f"{seen} items that users have seen", bool(seen)),
        )
        if found
    ]
    yield Reading(
        name="self-check",
        now=float(answer.num_rows),
        passed=not wrong,
        text=f"asked for {len(users)} users the new run gives {' and '.join(wrong) or 'candidates as it should'}",
    )


def _counts(common: Common, limits: ChangeLimits) -> Iterator[Reading]:
    """Users and items by their ids, interactions and edges by their number."""
    new, old = common.new.graph, common.old.graph if common.old is not None else None
    if old is None:
        return
    judged = _same_sources(common)
    schema = new.schema
    for name, now, before, stayed in (
        (schema.user_type, len(new.users), len(old.users), common.num_users),
        (schema.item_type, len(new.items), len(old.items), common.num_items),
    ):
        yield _count(f"nodes {name}", now, before, before - stayed, limits, judged=judged)
    edges, edges_before = new.counts()["edges"], old.counts()["edges"]
    interactions = str(schema.interaction_key)
    for name in dict.fromkeys([*edges_before, *edges]):
        now, before = edges.get(name, 0), edges_before.get(name, 0)
        enough = before >= FEW_EDGES or name == interactions
        yield _count(f"edges {name}", now, before, before - now, limits, judged=judged and enough)


def _count(name: str, now: int, before: int, gone: int, limits: ChangeLimits, *, judged: bool) -> Reading:
    missing, added = max(gone, 0) / max(before, 1), (now - before) / max(before, 1)
    too_few, too_many = missing > limits.gone, added > limits.more
    text = f"{name}: {now:,}, before {before:,}"
    if too_few:
        text += f": {missing:.1%} of those before are gone, {limits.gone:.1%} allowed"
    elif too_many:
        text += f": {added:.1%} more, {limits.more:.1%} allowed"
    return Reading(
        name=name,
        now=float(now),
        before=float(before),
        change=missing if too_few or not too_many else added,
        limit=None if not judged else limits.gone if too_few or not too_many else limits.more,
        passed=not judged or not (too_few or too_many),
        text=text if judged else f"{text} (not judged)",
    )


def _same_sources(common: Common) -> bool:
    """Whether the configuration asks for the same graph; another one may well have other counts."""
    if common.old is None:
        return False
    one, other = read_json(common.new.run.config), read_json(common.old.run.config)
    return all(one.get(section) == other.get(section) for section in SOURCES)


def _metrics(
    settings: GateSettings,
    limits: ChangeLimits,
    questions: Questions,
    lists: IntArray,
    lists_before: IntArray,
    k: int,
    num_items: int,
) -> Iterator[Reading]:
    if not len(questions):
        yield Reading(name="held-out items", now=0.0, text="nobody has held-out items that neither model has seen")
        return
    now, before = per_user_metrics(lists, questions.truth, k), per_user_metrics(lists_before, questions.truth, k)
    for metric in settings.metrics:
        yield _metric(f"{metric}@{k}", now[metric], before[metric], limits.metric_loss)
    shown, shown_before = (len(distinct(some[some >= 0])) / max(num_items, 1) for some in (lists, lists_before))
    loss = 1 - shown / shown_before if shown_before else 0.0
    text = f"coverage@{k} {shown:.3f}, before {shown_before:.3f}"
    failed = loss > limits.coverage_loss
    yield Reading(
        name=f"coverage@{k}",
        now=shown,
        before=shown_before,
        change=loss,
        limit=limits.coverage_loss,
        passed=not failed,
        text=text + (f": {loss:.1%} less, {limits.coverage_loss:.1%} allowed" if failed else ""),
    )


def _metric(name: str, now: Values, before: Values, limit: float) -> Reading:
    mean, mean_before = float(now.mean()), float(before.mean())
    loss = 1 - mean / mean_before if mean_before else 0.0
    _, high = bootstrap_interval(now - before)
    failed = loss > limit and high < 0
    text = f"{name} {mean:.4f}, before {mean_before:.4f}, {len(now):,} users"
    if failed:
        text += f": {loss:.1%} less, {limit:.1%} allowed"
    elif loss > limit:
        text += f": {loss:.1%} less, which may be chance"
    return Reading(name=name, now=mean, before=mean_before, change=loss, limit=limit, passed=not failed, text=text)


def _top_changed(limits: ChangeLimits, top: IntArray, before: IntArray) -> Iterator[Reading]:
    kept = _overlap(top, before)
    if not len(kept):
        return
    changed = float((kept < KEPT_AT_LEAST).mean())
    text = f"{changed:.1%} of {len(kept):,} users keep fewer than half of their top {TOP}, {kept.mean():.1%} of it stay"
    failed = changed > limits.top_changed
    yield Reading(
        name=f"top {TOP} changed",
        now=changed,
        change=changed,
        limit=limits.top_changed,
        passed=not failed,
        text=text + (f": {limits.top_changed:.1%} allowed" if failed else ""),
    )


def _overlap(lists: IntArray, others: IntArray) -> npt.NDArray[np.float64]:
    """The share of the longer list that the other has too, of rows where there is any list, float64."""
    same = ((lists[:, :, None] == others[:, None, :]) & (lists >= 0)[:, :, None]).sum(axis=(1, 2))
    longer = np.maximum((lists >= 0).sum(axis=1), (others >= 0).sum(axis=1))
    result: npt.NDArray[np.float64] = same[longer > 0] / longer[longer > 0]
    return result


def _alone(
    settings: GateSettings, limits: FirstLimits, questions: Questions, lists: IntArray, popular: IntArray, k: int
) -> Iterator[Reading]:
    """What a run must reach whatever served before."""
    if not len(questions):
        return
    found, of_popular = per_user_metrics(lists, questions.truth, k), per_user_metrics(popular, questions.truth, k)
    for metric, least in limits.minimum.items():
        mean = float(found[metric].mean())
        yield Reading(
            name=f"least {metric}@{k}",
            now=mean,
            change=mean,
            limit=least,
            passed=mean >= least,
            text=f"{metric}@{k} {mean:.4f}, at least {least:.4f} is asked for",
        )
    for metric in settings.metrics:
        mean, other = float(found[metric].mean()), float(of_popular[metric].mean())
        yield Reading(
            name=f"{metric}@{k} of popularity",
            now=mean,
            before=other,
            passed=mean > other or not limits.ahead_of_popularity,
            text=f"{metric}@{k} {mean:.4f}, of the most liked items {other:.4f}",
        )
