# SPDX-License-Identifier: Apache-2.0
"""An alert: what is amiss, where, since when, and what to do about it, in both languages. Pure.

Its id is `kind:place`, as in `late:X013/his`: it stays the same as long as the same thing is amiss, can be read over a
phone, and is what `alerts ack` takes. Two sorts: what *is* so (a state) ends when it is so no longer, and then there is an
all-clear; what *happened* (an event) stays listed until somebody acknowledges it, or a month is over.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final

from evidence.encode import Json, encode_time, expect_text, parse_members, parse_time
from evidence.errors import FormatError
from terminal.language import Text

CENTER: Final = "center"
"""The place of alerts that are about the center itself."""


class Severity(IntEnum):
    """How much it hurts: for the record; needs a person if it lasts; needs a person now."""

    NOTICE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """Give the word that settings and JSON use."""
        return self.name.lower()


class Kind(StrEnum):
    """What is amiss."""

    QUIET = "quiet"
    LATE = "late"
    FAILING = "failing"
    CLOCK = "clock"
    AGENT_DISK = "agent-disk"
    DISK = "disk"
    CONTENT = "content"
    CERTIFICATE = "certificate"
    HELD = "held"
    CHANNEL = "channel"
    WATCH = "watch"
    SHRUNK = "shrunk"
    GROWN = "grown"
    SCHEMA = "schema"
    GAP = "gap"
    CONFLICT = "conflict"


EVENTS: Final = frozenset({Kind.SHRUNK, Kind.GROWN, Kind.SCHEMA, Kind.GAP, Kind.CONFLICT})


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `place` is `center`, UNIT, UNIT/SOURCE or UNIT/SOURCE#N, or a name below the center."""

    kind: Kind
    place: str
    severity: Severity
    since: datetime
    what: Text
    remedy: Text

    @property
    def id(self) -> str:
        """Give the id, such as `late:X013/his`."""
        return f"{self.kind.value}:{self.place}"

    @property
    def is_event(self) -> bool:
        """Tell whether it says what happened, not what is."""
        return self.kind in EVENTS

    def to_json(self) -> dict[str, Json]:
        """Give the alert as JSON has it."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "place": self.place,
            "remedy": {"en": self.remedy.en, "zh": self.remedy.zh},
            "severity": self.severity.word,
            "since": encode_time(self.since),
            "what": {"en": self.what.en, "zh": self.what.zh},
        }


def read_alert(value: Json) -> Alert:
    """Read what `to_json` gives. Raises: FormatError."""
    members = parse_members(value, "an alert", {"id", "kind", "place", "remedy", "severity", "since", "what"})
    try:
        alert = Alert(
            Kind(expect_text(members["kind"], "kind")),
            expect_text(members["place"], "place"),
            Severity[expect_text(members["severity"], "severity").upper()],
            parse_time(expect_text(members["since"], "since"), "since"),
            _read_text(members["what"]),
            _read_text(members["remedy"]),
        )
    except (KeyError, ValueError) as err:
        raise FormatError(f"the alert {members['id']!r:.80} is of another version: {err}") from err
    return alert


def _read_text(value: Json) -> Text:
    members = parse_members(value, "a text", {"en", "zh"})
    return Text(zh=expect_text(members["zh"], "zh"), en=expect_text(members["en"], "en"))
