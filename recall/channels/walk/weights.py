"""The weights of the types of step, by what validation users went on to like.

Luce's choice rule: the probability that a user goes on to item i is s(u, i) / sum of s(u, .), with s = w . f linear in
the weights and w >= 0 (Luce, "Individual Choice Behavior", 1959). The negative log likelihood is minimised by
majorisation: log(w . Z_u), with Z_u the sum of the features over all items, lies below its tangent at the present w,
and with the tangent in its place the problem is convex (Hunter, "MM algorithms for generalized Bradley-Terry models",
Annals of Statistics 32(1), 2004). A softmax of the score instead is ruled by the few largest of heavy-tailed features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

FloatArray = npt.NDArray[np.float64]

_ROUNDS = 15
_SETTLED = 1e-3  # largest relative change of a weight at which the rounds end
_TINY = 1e-12


def best_weights(liked: FloatArray, total: FloatArray, user: npt.NDArray[np.int64]) -> FloatArray:
    """The weights that make what users went on to like most likely.

    Args:
        liked: what each type of step gives each item that a user went on to like, float64 (items, types), at least 0.
        total: what each type gives all items that the user has not seen, together, (users, types).
        user: row of `total` of each item of `liked`, (items,).

    Returns:
        float64 (types,), at least 0. Their sum over `total` is 1 for the average user: the score is a probability.
    """
    scale = total.mean(axis=0)
    scale[scale == 0] = 1
    liked, total = liked / scale, total / scale
    # each user counts once, however many items there are to find
    share = 1 / np.bincount(user, minlength=len(total))[user]
    users = len(np.unique(user))
    weights = np.full(liked.shape[1], 1 / liked.shape[1])
    for _ in range(_ROUNDS):
        price = (total[user] * (share / np.maximum(total @ weights, _TINY)[user])[:, None]).sum(axis=0) / users

        def loss(values: FloatArray, price: FloatArray = price) -> tuple[float, FloatArray]:
            score = np.maximum(liked @ values, _TINY)
            gradient = price - liked.T @ (share / score) / users
            return float(price @ values - share @ np.log(score) / users), gradient

        solved: Any = minimize(loss, weights, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(weights))
        change = np.abs(solved.x - weights).max() / max(weights.max(), _TINY)
        weights = solved.x
        if change < _SETTLED:
            break
    # The rule says nothing of the scale.
    result: FloatArray = weights / scale / max(float((total @ weights).mean()), _TINY)
    return result
