"""Channels that cannot be used."""

from recall.channels.popularity import Popularity


class Unfinished:
    """Has the name of a channel, and nothing else."""

    name = "unfinished"


class Ease(Popularity):
    """Has the name of a channel that is built in."""

    name = "ease"


class Following(Popularity):
    """Has the name of another package's channel."""

    name = "following"
