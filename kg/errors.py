"""The errors that graphrecall raises on purpose. Every message says what was wrong, where, and what to do."""

from __future__ import annotations


class GraphRecallError(Exception):
    """Root of all errors that graphrecall raises on purpose."""


class InvalidDataError(GraphRecallError, ValueError):
    """A source or a table cannot be used as it is; nothing was built from it.

    Attributes:
        unquoted: the message without what it quotes of the source, for where users are not to be named; None: all of it
            may be a quotation.
    """

    def __init__(self, message: str = "", *, unquoted: str | None = None) -> None:
        super().__init__(message)
        self.unquoted = unquoted


class ConfigError(GraphRecallError, ValueError):
    """A configuration value is unknown or out of range; raised before any work."""


class OldConfigError(ConfigError):
    """A configuration of an earlier edition, whose keys have moved."""


class UnknownIdError(GraphRecallError, KeyError):
    """An id that the graph does not hold.

    Attributes:
        advice: how to go on without it, in the words of whoever asked; "" where nothing can.
    """

    def __init__(self, message: str = "", *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice

    def __str__(self) -> str:
        """Show the message itself: KeyError would show its repr."""
        return f"{self.args[0]}; {self.advice}" if self.advice else str(self.args[0])

    def advised(self, advice: str) -> UnknownIdError:
        """The same with another advice."""
        return UnknownIdError(str(self.args[0]), advice=advice)


class NotFittedError(GraphRecallError, RuntimeError):
    """A channel or model was used before it was fitted."""


class TrainingError(GraphRecallError, RuntimeError):
    """Training cannot go on, for instance after a loss that is not a number."""


class ArtifactError(GraphRecallError, ValueError):
    """A saved artifact is damaged, incomplete, or of another format version."""


class RefreshInProgressError(GraphRecallError, RuntimeError):
    """Another process is refreshing the same runs folder."""


class TuneInProgressError(GraphRecallError, RuntimeError):
    """Another process is tuning for the same runs folder."""


class BatchInProgressError(GraphRecallError, RuntimeError):
    """Another process is writing the candidates of a batch to the same folder."""


class BatchError(GraphRecallError, RuntimeError):
    """A batch could not be finished; what is finished stays, and the same command goes on from there."""


class GateError(GraphRecallError, RuntimeError):
    """A run was refused before it was finished: something in it is no number."""


class FeedbackError(GraphRecallError, RuntimeError):
    """Feedback could not be written down: nothing of it counts, and it can be sent again."""


class StoreError(GraphRecallError, RuntimeError):
    """A graph database could not do what was asked; the message names it, never a password."""


class StoreUnavailableError(StoreError):
    """A graph database does not answer: it is not there, it stopped, or it refuses the login."""


class QueryTimeoutError(StoreError):
    """A query ran longer than it may."""


class QueryRefusedError(GraphRecallError, ValueError):
    """A query that is not run: it would write, read files, or is no Cypher."""
