# SPDX-License-Identifier: Apache-2.0
"""Which conflicts are logged: each refused text once, and so many a day of a source and of a unit.

A conflict costs its sender one signature and the log an entry for ever, so a hostile unit could fill the log with them.
The first ones of a day tell the story; the rest are refused in the same way and not logged. What was logged within
a day is learned from the log itself, once, when the first conflict of a process comes: a restart forgets nothing.
Thread-safe. Source: decision 0026.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from center.ledger.ledger import Ledger
from evidence.errors import EvidenceError
from evidence.keys.signer import Signer
from evidence.log.tiles import TILE_WIDTH
from evidence.manifest.entry import Act, Level, parse_act, parse_entry
from evidence.note.signed import parse_note, sign_note

WINDOW: Final = timedelta(days=1)
MOST_OF_SOURCE: Final = 16
MOST_OF_UNIT: Final = 64
_KIND: Final = "conflict"


class Noted(StrEnum):
    """What became of a conflict, as the refusal says it."""

    LOGGED = "the conflict is logged"
    BEFORE = "the conflict was logged before"
    OVER = "there were so many conflicts within a day that this one is not logged"


@dataclass(frozen=True, slots=True)
class _Known:
    received: datetime
    source: str
    text: tuple[str, str]

    @property
    def unit(self) -> str:
        return self.source.partition("/")[0]


class Conflicts:
    """Log conflicts, within bounds."""

    def __init__(self, ledger: Ledger, operator: Signer, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._operator = operator
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: deque[_Known] | None = None  # oldest first

    def note(self, source: str, sequence: int, reason: str) -> Noted:
        """Log that another text was sent for a sequence of `source` (UNIT/SOURCE), unless it is one too many.

        Raises: HeldError, FullError, StoreError: it is not logged, and does not count.
        """
        with self._lock:
            recent = self._find_recent()
            text = (f"{source}#{sequence}", reason)
            if any(known.text == text for known in recent):
                return Noted.BEFORE
            unit = source.partition("/")[0]
            if (
                sum(known.source == source for known in recent) >= MOST_OF_SOURCE
                or sum(known.unit == unit for known in recent) >= MOST_OF_UNIT
            ):
                return Noted.OVER
            act = Act(_KIND, text[0], "refused", "center", reason)
            sealed = self._ledger.append(_KIND, Level.NONE, sign_note(act.encode(), [self._operator]).encode())
            recent.append(_Known(sealed.entry.received, source, text))
            return Noted.LOGGED

    def _find_recent(self) -> deque[_Known]:
        since = self._clock() - WINDOW
        if self._recent is None:
            self._recent = deque(reversed(list(_read_back(self._ledger, since))))
        while self._recent and self._recent[0].received < since:
            self._recent.popleft()
        return self._recent


def _read_back(ledger: Ledger, since: datetime) -> "list[_Known]":
    """Read the conflicts that the log has taken since then, the newest first, bundle by bundle."""
    found: list[_Known] = []
    stop = ledger.size
    while stop > 0:
        start = (stop - 1) // TILE_WIDTH * TILE_WIDTH
        for raw in reversed(list(ledger.entries(start, stop))):
            entry = parse_entry(raw)
            if entry.received < since:
                return found
            if entry.kind == _KIND:
                found += _read_act(entry.received, entry.note)
        stop = start
    return found


def _read_act(received: datetime, note: bytes) -> list[_Known]:
    try:
        act = parse_act(parse_note(note).text)
    except EvidenceError:
        return []  # of another version; `audit` reports what cannot be read
    return [_Known(received, act.object.rpartition("#")[0], (act.object, act.reason))]
