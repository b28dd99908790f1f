# SPDX-License-Identifier: Apache-2.0
"""Leaves of the log: a note with a head that says what it is and when the center had it. Pure.

    jinsuo/entry@v1 LF  kind <kind> LF  level registered|stored|- LF  received <time> LF  LF  <the note verbatim>

At most 65,535 bytes, never data. Notes of the center's own have texts of two grammars, signed by `ORIGIN/operator`:
`jinsuo/act@v1` (lines event, object, outcome, by, reason) and `jinsuo/stored@v1` (lines unit, source, sequence,
statement), which says that the content of a statement registered before is stored now. Source: formats.md.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from evidence.digest import Sha256
from evidence.encode import encode_time, parse_decimal, parse_hex, parse_time
from evidence.errors import FormatError, LimitError
from evidence.manifest.grammar import (
    check_line_value,
    check_source_name,
    check_unit_name,
    encode_lines,
    expect_same,
    split_lines,
    take_values,
)
from evidence.note.signed import parse_note

MAX_ENTRY_BYTES: Final = 65_535
KIND_STATEMENT: Final = "statement"
KIND_STORED: Final = "stored"
_HEADER: Final = "jinsuo/entry@v1"
_ACT_HEADER: Final = "jinsuo/act@v1"
_STORED_HEADER: Final = "jinsuo/stored@v1"
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


class Level(StrEnum):
    """How much of a statement the center had when it logged it; NONE for entries that are not about content."""

    REGISTERED = "registered"
    STORED = "stored"
    NONE = "-"


@dataclass(frozen=True, slots=True)
class Entry:
    """A leaf's data. `received` is the center's word, and never decreases; `note` is a signed note, verbatim."""

    kind: str
    level: Level
    received: datetime
    note: bytes

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise FormatError(f"an entry's kind is a lower-case word of at most 32 letters, found {self.kind!r:.60}")
        if self.kind == KIND_STORED and self.level is not Level.STORED:
            raise FormatError(f"an entry of kind stored has the level stored, found {self.level}")
        parse_note(self.note, MAX_ENTRY_BYTES)

    def encode(self) -> bytes:
        """Write the entry. Raises: LimitError over 65,535 bytes."""
        lines = (("kind", self.kind), ("level", self.level.value), ("received", encode_time(self.received)))
        data = encode_lines(_HEADER, lines) + b"\n" + self.note
        if len(data) > MAX_ENTRY_BYTES:
            raise LimitError(
                f"an entry of kind {self.kind} has {len(data)} bytes; at most {MAX_ENTRY_BYTES} fit into the log"
            )
        return data


def parse_entry(data: bytes) -> Entry:
    """Read an entry; its note is read as a note, but nothing is verified. Raises: FormatError, LimitError."""
    what = "an entry"
    if len(data) > MAX_ENTRY_BYTES:
        raise LimitError(f"{what} has {len(data)} bytes; at most {MAX_ENTRY_BYTES} fit into the log")
    head, empty_line, note = data.partition(b"\n\n")
    if not empty_line:
        raise FormatError(f"{what} must have an empty line between its head and its note")
    values = take_values(split_lines(head + b"\n", _HEADER, what), ("kind", "level", "received"), what)
    if values["level"] not in list(Level):
        raise FormatError(f"the level of {what} must be one of {', '.join(Level)}, found {values['level']!r:.60}")
    entry = Entry(values["kind"], Level(values["level"]), parse_time(values["received"], "received"), note)
    expect_same(entry.encode(), data, what)
    return entry


@dataclass(frozen=True, slots=True)
class Act:
    """One of the center's own acts, each member one line: `event` is a PREMIS term, `by` names who did it."""

    event: str
    object: str
    outcome: str
    by: str
    reason: str

    def __post_init__(self) -> None:
        for name, value in self._lines():
            check_line_value(value, f"{name} of an act")

    def encode(self) -> bytes:
        """Write the text of the note."""
        return encode_lines(_ACT_HEADER, self._lines())

    def _lines(self) -> tuple[tuple[str, str], ...]:
        return (
            ("event", self.event),
            ("object", self.object),
            ("outcome", self.outcome),
            ("by", self.by),
            ("reason", self.reason),
        )


def parse_act(text: bytes) -> Act:
    """Read an act's text. Raises: FormatError."""
    what = "an act"
    values = take_values(split_lines(text, _ACT_HEADER, what), ("event", "object", "outcome", "by", "reason"), what)
    act = Act(**values)
    expect_same(act.encode(), text, what)
    return act


@dataclass(frozen=True, slots=True)
class StoredAct:
    """The content of the statement with digest `statement`, registered before, is stored now: re-hashed and durable."""

    unit: str
    source: str
    sequence: int
    statement: Sha256

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)
        if self.sequence < 1:
            raise FormatError(f"sequences start at 1, found {self.sequence}")

    def encode(self) -> bytes:
        """Write the text of the note."""
        return encode_lines(
            _STORED_HEADER,
            (
                ("unit", self.unit),
                ("source", self.source),
                ("sequence", str(self.sequence)),
                ("statement", self.statement.hex()),
            ),
        )


def parse_stored(text: bytes) -> StoredAct:
    """Read the text of a `stored` entry's note. Raises: FormatError."""
    what = "a stored note"
    values = take_values(split_lines(text, _STORED_HEADER, what), ("unit", "source", "sequence", "statement"), what)
    act = StoredAct(
        values["unit"],
        values["source"],
        parse_decimal(values["sequence"], "sequence"),
        Sha256(parse_hex(values["statement"], "statement", 32)),
    )
    expect_same(act.encode(), text, what)
    return act
