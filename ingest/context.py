"""The report, the limits and the time for every reader of a source."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.report import QualityReport, SourceAccount
from ingest.settings import QualitySettings
from kg.errors import InvalidDataError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingContext:
    """Where a reader counts rows and findings, and how much it may set aside.

    Attributes:
        report: accounts and findings.
        quality: how much of a source may be set aside.
        now: UTC seconds after which a timestamp is in the future.
    """

    report: QualityReport
    quality: QualitySettings
    now: int

    def check(self, account: SourceAccount) -> None:
        """Refuse a source of which too much was set aside.

        Raises:
            InvalidDataError: the share is above `quality.max_set_aside`, or anything was while `quality.strict` is on.
        """
        if self.quality.strict and account.set_aside:
            problem = f"{account.name}: {account.set_aside} cannot be used and quality.strict is on"
            raise InvalidDataError(f"{problem}: {account.reasons}", unquoted=f"{problem}: {account.kinds}")
        self.report.check_limit(account, self.quality.max_set_aside)
