"""One thing that somebody did with an item, and the line of the log that holds it."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from kg.errors import InvalidDataError
from kg.times import utc_seconds

LONGEST_ID = 4096  # characters


class Kind(StrEnum):
    """What somebody did."""

    LIKE = "like"
    DISLIKE = "dislike"
    IMPRESSION = "impression"
    """The item was shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackEvent:
    """One thing that a user did with an item.

    Attributes:
        user_id: as requests name the user.
        item_id: as answers name the item.
        kind: what was done.
        time: UTC seconds since 1970.
        event_id: the same however often the event is sent, so that it counts once.
    """

    user_id: str
    item_id: str
    kind: Kind
    time: float
    event_id: str

    @classmethod
    def of(cls, given: FeedbackEvent | Mapping[str, Any], *, now: float) -> FeedbackEvent:
        """Check an event.

        Args:
            given: an event, or a mapping of its attributes. Without `event_id` every call is an event of its own;
                without `time`, or with one that is not past yet, it is of now. A time may be a date, or an ISO text,
                UTC unless it names a zone.
            now: UTC seconds.

        Raises:
            InvalidDataError: an attribute is missing, unknown or of another kind; the message names it.
        """
        values = asdict(given) if isinstance(given, FeedbackEvent) else given
        if not isinstance(values, Mapping):
            raise InvalidDataError(f"a feedback event is a mapping of user_id, item_id and kind, not {values!r:.80}")
        if unknown := [name for name in values if name not in _NAMES]:
            raise InvalidDataError(f"a feedback event has no {unknown[0]!r:.80}, only {', '.join(_NAMES)}")
        event_id = values.get("event_id")
        return cls(
            user_id=_id(values, "user_id"),
            item_id=_id(values, "item_id"),
            kind=_kind(values),
            time=min(_time(values.get("time"), now), now),
            event_id=secrets.token_hex(16) if event_id is None else _id(values, "event_id"),
        )

    def line(self) -> bytes:
        """As the log holds it: a checksum and JSON in ASCII, with a line break."""
        body = json.dumps(asdict(self)).encode()
        return b"%08x %s\n" % (zlib.crc32(body), body)


def check_events(events: Iterable[FeedbackEvent | Mapping[str, Any]], *, now: float) -> list[FeedbackEvent]:
    """Check a list of events; see `FeedbackEvent.of`.

    Raises:
        InvalidDataError: it is no list, or one of them is not understood.
    """
    if isinstance(events, str | bytes | Mapping | FeedbackEvent) or not isinstance(events, Iterable):
        raise InvalidDataError(f"feedback is a list of events, not {events!r:.80}")
    return [FeedbackEvent.of(event, now=now) for event in events]


_NAMES = tuple(field.name for field in fields(FeedbackEvent))


def parse_line(line: bytes) -> FeedbackEvent | None:
    """The event of a line without its line break; None where the line is not as it was written."""
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        values = json.loads(body)
        return FeedbackEvent(**values | {"kind": Kind(values["kind"])})
    except (ValueError, TypeError, KeyError):
        return None


def _id(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not (id := value.strip()):
        raise InvalidDataError(f"a feedback event needs a text as {name}, not {value!r:.80}")
    if len(id) > LONGEST_ID:
        raise InvalidDataError(f"{name} of a feedback event has {len(id):,} characters, at most {LONGEST_ID:,} may be")
    try:
        id.encode()
    except UnicodeEncodeError as error:
        raise InvalidDataError(f"{name} = {id!r:.80} of a feedback event is no text: {error.reason}") from error
    return id


def _kind(values: Mapping[str, Any]) -> Kind:
    kind = values.get("kind")
    if kind not in list(Kind):
        raise InvalidDataError(f"kind = {kind!r:.80} of a feedback event is none of {', '.join(Kind)}")
    return Kind(kind)


def _time(given: Any, now: float) -> float:
    if given is None:
        return now
    try:
        return utc_seconds(given)
    except (ValueError, OverflowError) as error:
        raise InvalidDataError(
            f"time = {given!r:.80} of a feedback event is no time: write seconds since 1970, or a date such as "
            "2024-05-01T12:00"
        ) from error
