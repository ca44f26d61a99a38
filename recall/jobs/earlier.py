"""The run that an earlier refresh made of the same inputs, and what became of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from recall.runs.layout import RunLayout
from recall.runs.registry import RunsFolder


class EarlierRun(NamedTuple):
    """What an earlier refresh made of the same inputs.

    Attributes:
        state: "unchanged": it serves; "serve again": it was published and does not serve; "rolled back"; "rejected".
        run: its folder.
        text: the same in words.
    """

    state: Literal["unchanged", "serve again", "rolled back", "rejected"]
    run: RunLayout
    text: str


def earlier_run(runs: RunsFolder, fingerprint: str, current: RunLayout | None) -> EarlierRun | None:
    """The run that an earlier refresh made of these inputs; None where there is none.

    Args:
        runs: of the deployment.
        fingerprint: of the inputs.
        current: the run that serves.
    """
    published = runs.find(fingerprint)
    if current is not None and current in published:
        return EarlierRun("unchanged", current, f"nothing changed: {current.name} serves")
    for run in published:
        rolled_back = runs.record(run).rolled_back
        if rolled_back is None:
            # Published by a refresh that was killed before it switched, or by an earlier one whose inputs are back.
            return EarlierRun("serve again", run, f"{run.name} was made of these inputs")
        if current is not None:
            reason = f": {rolled_back.reason}" if rolled_back.reason else ""
            text = (
                f"{run.name}, which has these inputs, was rolled back by {rolled_back.by} at {rolled_back.at}{reason}; "
                f"graphrecall rollback {runs.path} --to {run.name} takes that back, --full makes a new run"
            )
            return EarlierRun("rolled back", run, text)
    rejected = runs.find_rejected(fingerprint)
    if rejected is None:
        return None
    return EarlierRun("rejected", rejected, f"{rejected.name}, which has these inputs, was rejected")
