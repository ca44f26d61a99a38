"""The typed walk: s(u, i) is a sum over paths from the history of u to i, each with its exact share of the score.

s(u, i) = sum over j in the history: age(u, j) * sum over types of step t: w_t * sum over paths j -> x -> i: q_t(path)
          + w_popularity * (likes of i)^p

Nothing is trained: the worths q are powers of degrees (kg.topology.walk), the weights w those under
which what people went on to like in the validation part is most likely.
"""

from recall.channels.walk.channel import Walk
from recall.channels.walk.config import WalkConfig

__all__ = ["Walk", "WalkConfig"]
