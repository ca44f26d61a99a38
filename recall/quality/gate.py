"""Whether a new run may serve: its readings beside those of the run that serves, and their limits.

Both runs answer the same questions (recall.quality.held_out). The metrics are those of the evaluation models, which
have not seen the held-out items; the lists that are compared are those of the serving models. A run that fails is not
thrown away: the caller keeps it, with the readings in its report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnn.evaluation.metrics import Values, bootstrap_interval, per_user_metrics
from gnn.graph.embeddings import Embeddings
from kg.arrays import IntArray, PairIndex, distinct
from kg.errors import ArtifactError
from kg.progress import SILENT, Progress
from recall.channels import Popularity
from recall.config.gate import ChangeLimits, FirstLimits, GateSettings
from recall.ops.legend import NOTHING_HELD_OUT
from recall.quality.assess import single
from recall.quality.counts import changes_of_counts, compared
from recall.quality.held_out import Common, Questions, RunData
from recall.runs.layout import RunLayout
from recall.runs.report import GateKind, Reading, Verdict
from recall.serve.loading import vector_models
from recall.serve.recommender import Recommender

TOP = 10
KEPT_AT_LEAST = 0.5  # of the top 10, or they count as changed
SELF_CHECK_USERS = 20


def unfinished_verdict(settings: GateSettings, reason: str, *, current: RunLayout | None, incremental: bool) -> Verdict:
    """The verdict on a run that could not be finished, because a value in it is not finite."""
    return Verdict.of(
        [Reading(kind="finite", name="no numbers", now=None, passed=False, text=reason)],
        kind="first" if current is None else "incremental" if incremental else "full",
        against=None if current is None else current.name,
        note=None,
        users=0,
        limits=settings.model_dump(mode="json"),
        unfinished=True,
    )


def same_verdict(verdict: Verdict, settings: GateSettings, current: RunLayout | None) -> bool:
    """Whether judging again would change nothing: same limits and run to compare with, or a run that cannot serve."""
    if verdict.unfinished:
        return True
    same_run = verdict.against == (None if current is None else current.name)
    return same_run and verdict.limits == settings.model_dump(mode="json")


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
        run: complete, but for its manifest.
        current: the run that serves, intact; None: there is none, and the limits of a first run apply.
        problem: why the run that serves cannot be compared with, for the record.
        incremental: the run continues the one that serves.
        progress: listener.

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
        kind: GateKind = "first" if before is None else "incremental" if incremental else "full"
        limits: FirstLimits = getattr(settings, kind)
        common = Common(new, None) if before is None else before.common
        recommender = Recommender.of_run(run, verify=False, graph=new.graph)
        readings = [*_sound(recommender, run)]
        task.advance()
        held_out = common.held_out(settings.users)
        if all(reading.passed for reading in readings):
            k = _cut(common, settings.k)
            lists = common.rank(new.evaluation_pipeline(), held_out, k, of=new)
            if before is not None and isinstance(limits, ChangeLimits):
                readings += changes_of_counts(common, limits)
                readings += _metrics(settings, limits, held_out, lists, before.lists, k, common.num_items)
                served = common.served(settings.users)
                top = common.rank(recommender.pipeline, served, _cut(common, TOP), of=new)
                readings += _top_changed(limits, top, before.top)
            task.advance()
            popular = common.rank(single(Popularity(), new.view), held_out, k, of=new)
            readings += _alone(settings, limits, held_out, lists, popular, k, first=before is None)
        task.advance()
    return Verdict.of(
        readings,
        kind=kind,
        against=None if current is None else current.name,
        note=problem,
        users=len(held_out),
        limits=settings.model_dump(mode="json"),
        unfinished=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What the run that serves answers to the common questions.

    Attributes:
        common: users and items of both runs.
        lists: of its evaluation model, to the held-out questions, (users, k).
        top: of its serving model, (users, TOP).
    """

    common: Common
    lists: IntArray
    top: IntArray


def _answers(new: RunData, old: RunData, settings: GateSettings) -> _Answers:
    common = Common(new, old)
    held_out, served = common.held_out(settings.users), common.served(settings.users)
    lists = common.rank(old.evaluation_pipeline(), held_out, _cut(common, settings.k), of=old)
    serving = Recommender.of_run(old.run, verify=False, graph=old.graph).pipeline
    return _Answers(common=common, lists=lists, top=common.rank(serving, served, _cut(common, TOP), of=old))


def _cut(common: Common, k: int) -> int:
    return max(min(k, common.num_items), 1)


def _sound(recommender: Recommender, run: RunLayout) -> Iterator[Reading]:
    """Whether all values of the models are finite, and whether the run answers a few users as it should."""
    bad = 0
    for folder in (*vector_models(run, evaluation=True).values(), *vector_models(run).values()):
        model = Embeddings.load(folder)
        bad += sum(int((~np.isfinite(part)).sum()) for part in (model.final, model.item_scale, model.item_prior))
    yield Reading(
        kind="finite",
        name="no numbers",
        now=float(bad),
        change=float(bad),
        limit=0.0,
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
    not_finite = int((~np.isfinite(answer["score"].to_numpy())).sum())
    problems = [
        text
        for text, count in (
            (f"no candidate for any of {len(users)} users", int(not answer.num_rows)),
            (f"{not_finite} scores that are no numbers", not_finite),
            (f"{seen} items that users have seen", seen),
        )
        if count
    ]
    yield Reading(
        kind="self-check",
        name="self-check",
        now=float(answer.num_rows),
        passed=not problems,
        text=f"asked for {len(users)} users the new run gives {' and '.join(problems) or 'candidates as it should'}",
    )


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
        yield Reading(
            kind="metric",
            name="held-out items",
            now=0.0,
            text="nobody has held-out items that neither model has seen",
        )
        return
    now, before = per_user_metrics(lists, questions.truth, k), per_user_metrics(lists_before, questions.truth, k)
    for metric in settings.metrics:
        yield _metric(metric, k, now[metric], before[metric], limits.metric_loss)
    shown, shown_before = (len(distinct(some[some >= 0])) / max(num_items, 1) for some in (lists, lists_before))
    text = f"coverage@{k} {shown:.3f}, before {shown_before:.3f}"
    loss = _loss(shown, shown_before)
    yield compared("coverage", f"coverage@{k}", shown, shown_before, loss, limits.coverage_loss, text)


def _metric(metric: str, k: int, now: Values, before: Values, limit: float) -> Reading:
    mean, mean_before = float(now.mean()), float(before.mean())
    _, high = bootstrap_interval(now - before)
    text = f"{metric}@{k} {mean:.4f}, before {mean_before:.4f}, {len(now):,} users"
    loss = _loss(mean, mean_before)
    return compared(
        "metric", f"{metric}@{k}", mean, mean_before, loss, limit, text, metric=metric, chance=bool(high >= 0)
    )


def _loss(now: float, before: float) -> float:
    return 1 - now / before if before else 0.0


def _top_changed(limits: ChangeLimits, top: IntArray, before: IntArray) -> Iterator[Reading]:
    kept = _overlap(top, before)
    if not len(kept):
        return
    changed = float((kept < KEPT_AT_LEAST).mean())
    text = f"{len(kept):,} users keep {kept.mean():.1%} of their top {TOP}, {changed:.1%} of them fewer than half of it"
    yield compared("top", f"top {TOP} changed", changed, None, changed, limits.top_changed, text, "of the users")


def _overlap(lists: IntArray, others: IntArray) -> npt.NDArray[np.float64]:
    """The share of the longer list that the other has too, of rows where there is any list, float64."""
    same = ((lists[:, :, None] == others[:, None, :]) & (lists >= 0)[:, :, None]).sum(axis=(1, 2))
    longer = np.maximum((lists >= 0).sum(axis=1), (others >= 0).sum(axis=1))
    result: npt.NDArray[np.float64] = same[longer > 0] / longer[longer > 0]
    return result


def _alone(
    settings: GateSettings,
    limits: FirstLimits,
    questions: Questions,
    lists: IntArray,
    popular: IntArray,
    k: int,
    *,
    first: bool,
) -> Iterator[Reading]:
    """What a run must reach whatever served before; of a first run also that nothing could be asked."""
    if not len(questions):
        if first:
            yield Reading(kind="metric", name="held-out items", now=0.0, text=NOTHING_HELD_OUT)
        return
    values, of_popular = per_user_metrics(lists, questions.truth, k), per_user_metrics(popular, questions.truth, k)
    for metric, least in limits.minimum.items():
        mean = float(values[metric].mean())
        yield Reading(
            kind="minimum",
            name=f"least {metric}@{k}",
            metric=metric,
            now=mean,
            change=mean,
            limit=least,
            passed=mean >= least,
            text=f"{metric}@{k} {mean:.4f}, at least {least:.4f} is asked for",
        )
    for metric in settings.metrics:
        mean, other = float(values[metric].mean()), float(of_popular[metric].mean())
        yield Reading(
            kind="popularity",
            name=f"{metric}@{k} beside popularity",
            metric=metric,
            now=mean,
            before=other,
            passed=mean > other or not limits.ahead_of_popularity,
            text=f"{metric}@{k} {mean:.4f}, of the most liked items {other:.4f}",
        )
