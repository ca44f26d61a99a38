"""Off-policy estimates on simulated logs, whose truth is known."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from kg.errors import ConfigError, InvalidDataError
from recall.quality.online.off_policy import Estimate, Impressions, doubly_robust, ips, snips
from tests.recall.quality.online.simulation import is_plausible

pytest.importorskip("statsmodels")

RATES = np.array([0.05, 0.1, 0.2, 0.4, 0.3])  # of clicks, by item
LOGGED = np.array([0.35, 0.3, 0.15, 0.1, 0.1])
TARGET = np.array([0.05, 0.1, 0.2, 0.5, 0.15])
TRUTH = float(RATES @ TARGET)


def log(random: np.random.Generator, count: int, *, model: np.ndarray | None = None, users: int = 0) -> Impressions:
    """Impressions drawn by the logged probabilities; a user's taste makes all of his clicks likelier or not."""
    item = random.choice(len(RATES), size=count, p=LOGGED)
    user = np.repeat(np.arange(users), count // users) if users else None
    taste = np.ones(count) if user is None else random.uniform(0.2, 1.8, users)[user]
    reward = (random.random(count) < RATES[item] * taste).astype(float)
    return Impressions.of(
        reward,
        LOGGED[item],
        TARGET[item],
        user=None if user is None else user.tolist(),
        expected=None if model is None else model[item],
        value=None if model is None else np.full(count, model @ TARGET),
    )


def test_estimates_are_near_the_truth_and_their_intervals_cover_it() -> None:
    random = np.random.default_rng(0)
    wrong = np.array([0.3, 0.3, 0.3, 0.3, 0.3])
    draws, covered, values = 400, Counter[str](), {"ips": [], "snips": [], "dr": []}
    for _ in range(draws):
        impressions = log(random, 800, model=wrong)
        estimates = {"ips": ips(impressions), "snips": snips(impressions), "dr": doubly_robust(impressions)}
        for name, estimate in estimates.items():
            values[name].append(estimate.value)
            covered[name] += estimate.interval[0] <= TRUTH <= estimate.interval[1]
    for name, all_ in values.items():
        error = np.std(all_) / math.sqrt(draws)
        assert abs(np.mean(all_) - TRUTH) < 4 * error + 0.002, name
        assert is_plausible(covered[name], draws, 0.95), name
    assert np.std(values["snips"]) < np.std(values["ips"])


def test_a_good_model_makes_the_doubly_robust_estimate_vary_least() -> None:
    random = np.random.default_rng(1)
    logs = [log(random, 500, model=RATES) for _ in range(200)]
    spreads = {method.__name__: np.std([method(each).value for each in logs]) for method in (ips, snips, doubly_robust)}
    assert spreads["doubly_robust"] < spreads["snips"] < spreads["ips"]


def test_a_right_model_saves_wrong_probabilities() -> None:
    random = np.random.default_rng(2)
    impressions = log(random, 60_000, model=RATES)
    wrong = Impressions.of(
        impressions.reward,
        np.sqrt(impressions.logged),
        impressions.target,
        expected=impressions.expected,
        value=impressions.value,
    )
    assert abs(doubly_robust(wrong).value - TRUTH) < 0.01
    assert abs(ips(wrong).value - TRUTH) > 0.05
    assert "the weights have the mean" in (ips(wrong).warning or "")
    assert ips(impressions).warning is None


def test_impressions_of_one_user_are_alike_and_clusters_say_so() -> None:
    random = np.random.default_rng(3)
    draws, clustered, alone = 250, 0, 0
    for _ in range(draws):
        impressions = log(random, 1200, users=40)
        independent = Impressions.of(impressions.reward, impressions.logged, impressions.target)
        for estimate, name in ((snips(impressions), "clustered"), (snips(independent), "alone")):
            inside = estimate.interval[0] <= TRUTH <= estimate.interval[1]
            clustered += inside and name == "clustered"
            alone += inside and name == "alone"
    assert clustered / draws > 0.9
    assert alone < clustered


def test_by_hand() -> None:
    impressions = Impressions.of([1, 0, 1, 0], [0.5, 0.5, 0.25, 0.5], [0.25, 0.5, 0.5, 0.5])
    assert ips(impressions).value == pytest.approx((0.5 + 2) / 4)
    assert snips(impressions).value == pytest.approx(2.5 / 4.5)
    assert ips(impressions, most=1).value == pytest.approx((0.5 + 1) / 4)
    assert ips(impressions).effective == pytest.approx(4.5**2 / (0.25 + 1 + 4 + 1))
    assert ips(impressions).mean_weight == pytest.approx(4.5 / 4)


def test_the_same_ranking_earns_what_it_earned() -> None:
    random = np.random.default_rng(4)
    impressions = log(random, 300)
    same = Impressions.of(impressions.reward, impressions.logged, impressions.logged)
    for method in (ips, snips):
        assert method(same).value == pytest.approx(impressions.reward.mean())
        assert method(same).warning is None


def test_tables_of_pandas_and_mappings() -> None:
    columns = {"reward": [1.0, 0.0], "logged": [0.5, 0.5], "target": [1.0, 0.0], "user": ["a", "b"]}
    expected: Estimate = ips(Impressions.of_table(columns))
    import pyarrow as pa

    assert ips(Impressions.of_table(pa.Table.from_pandas(pd.DataFrame(columns)))) == expected
    with pytest.raises(InvalidDataError, match="no column 'target', only reward, logged"):
        Impressions.of_table({"reward": [1.0], "logged": [1.0]})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"logged": [0.0, 0.5]}, "1 impressions have a logged probability that is not above 0"),
        ({"logged": [0.5, 1.5]}, "not above 0 and at most 1"),
        ({"target": [0.5, -0.1]}, "a target probability outside 0 to 1"),
        ({"target": [0.5]}, "target has 1 values"),
        ({"target": [0.5, 0.5, 0.5]}, "target has 3 values for 2 impressions"),
        ({"reward": [1.0, math.inf]}, "1 values of reward are missing or not finite"),
        ({"user": ["a"]}, "user has 1 values for 2 impressions"),
        ({"expected": [0.1, 0.1]}, "both expected and value, or neither"),
    ],
)
def test_bad_impressions_are_named(given, message: str) -> None:
    values = {"reward": [1.0, 0.0], "logged": [0.5, 0.5], "target": [0.5, 0.5]} | given
    with pytest.raises(InvalidDataError, match=message):
        Impressions.of(**values)


def test_what_cannot_be_estimated_is_refused() -> None:
    never = Impressions.of([1, 0], [0.5, 0.5], [0.0, 0.0])
    with pytest.raises(InvalidDataError, match="shown none of these impressions"):
        snips(never)
    some = Impressions.of([1, 0], [0.5, 0.5], [0.5, 0.5])
    with pytest.raises(InvalidDataError, match="need expected and value"):
        doubly_robust(some)
    with pytest.raises(ConfigError, match="most = 0"):
        ips(some, most=0)
