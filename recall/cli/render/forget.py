"""The outcome of forgetting users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from recall.jobs.forget import ForgetResult


def print_forgotten(result: ForgetResult, *, refit: bool, console: Console) -> None:
    """What was done, what is still to do, and what the weights may remember."""

    def say(text: str) -> None:
        console.print(text, markup=False)

    if result.users:
        say(f"{_users(result.users)} on the list: no refresh lets them in again.")
        if result.found < result.users:
            unknown = "none of them" if not result.found else f"only {result.found} of them"
            say(f"The runs named {unknown}: if you expected more, look at how the sources write the ids.")
    for new, old in result.made_again.items():
        say(f"{old} was made again as {new}.")
    for name in result.removed:
        say(f"{name} was removed: it is damaged, or nothing is left in it to recommend from.")
    if result.feedback:
        say(f"Feedback: {result.feedback:,} events were taken out of the log.")
    if result.database is not None:
        say(f"Neo4j: the results of {_users(result.database)} were removed.")
    say("Nothing serves any more." if result.run is None else f"{result.run.name} serves.")
    if result.still_read:
        say(
            f"Not yet done: a process still reads {', '.join(result.still_read)}. Let it load the run that serves "
            "now, or end it, and call this again; the next refresh does it as well."
        )
    if result.weights_may_remember and not refit:
        say(
            f"What {_users(result.weights_may_remember)} did is no longer in the graph, the neighbours, the index or "
            "any user's history. It has formed the vectors that training learned for items and for other users, and "
            "those may still remember it; --refit, or `graphrecall refresh --full`, learns them anew."
        )


def _users(count: int) -> str:
    return "1 user" if count == 1 else f"{count:,} users"
