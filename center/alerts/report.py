# SPDX-License-Identifier: Apache-2.0
"""The monthly report of a source: runs, how far they came, lag, gaps, sizes. Pure, over the catalog's statements.

A run belongs to the month, in the zone of the settings, in which it ended by its source's time (never later than it came).
Its lag is from then to when the log had its statement; where content came later, `stored_at` tells when, and the storing
lag is up to that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from center.registry.catalog_tables import StatementRow
from evidence.manifest.entry import Level
from evidence.manifest.statement import GapStatement, SnapshotStatement


@dataclass(frozen=True, slots=True)
class Lag:
    """Median and longest of some lags."""

    median: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class SourceReport:
    """One source in one month. `lag`: from the source's time to the log's; `storing_lag`: until the content was whole.

    `longest_pause`: between two snapshots one after the other, of which a part lies in the month; before the first one
    of all nothing is a pause.
    """

    unit: str
    source: str
    runs: int
    stored: int
    registered: int
    lag: Lag | None
    storing_lag: Lag | None
    gaps: tuple[StatementRow, ...]
    flagged: int
    first: StatementRow | None
    last: StatementRow | None
    longest_pause: timedelta | None


def parse_month(text: str) -> date | None:
    """Give the first day of `2026-11`, or None."""
    if len(text) != 7 or not text.isascii():
        return None
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        return None


def make_report(
    unit: str,
    source: str,
    rows: Sequence[StatementRow],
    month: date,
    zone: str,
    stored_at: Callable[[StatementRow], datetime | None],
    now: datetime,
) -> SourceReport:
    """Report on a source's month; `rows` are its statements, ascending; `stored_at` gives when a row's content was whole.

    A pause that lasts still counts until `now`, or until the month's end if that is earlier.
    """
    local = ZoneInfo(zone)

    def is_in(row: StatementRow) -> bool:
        try:
            day = _taken(row).astimezone(local).date()
        except OverflowError:  # a clock in the year 1, west of Greenwich
            return False
        return (day.year, day.month) == (month.year, month.month)

    here = [row for row in rows if is_in(row)]
    runs = [row for row in here if row.kind == SnapshotStatement.kind]
    stored = [row for row in runs if row.level is Level.STORED]
    storing = [at - _taken(row) for row in stored if (at := stored_at(row)) is not None]
    return SourceReport(
        unit, source, len(runs), len(stored), len(runs) - len(stored),
        _lag([row.received - _taken(row) for row in runs]), _lag(storing),
        tuple(row for row in here if row.kind == GapStatement.kind),
        sum(bool(row.flags) for row in runs),
        runs[0] if runs else None, runs[-1] if runs else None,
        _find_longest_pause([_taken(row) for row in rows if row.kind == SnapshotStatement.kind], month, local, now),
    )  # fmt: skip


def _find_longest_pause(times: Sequence[datetime], month: date, local: ZoneInfo, now: datetime) -> timedelta | None:
    """Give the longest pause that lies in the month, or partly; None if there is none."""
    begin = datetime(month.year, month.month, 1, tzinfo=local)
    if begin >= now:
        return None
    end = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=local)
    ordered = sorted(times)
    pauses = [later - earlier for earlier, later in pairwise(ordered) if earlier < end and later > begin]
    until = min(now, end)
    if ordered and ordered[-1] < until:
        pauses.append(until - ordered[-1])
    return max(pauses, default=None)


def _taken(row: StatementRow) -> datetime:
    """Give when a statement's content was taken: the unit's word, but never later than when it came."""
    return min(row.ended, row.received)


def _lag(lags: Sequence[timedelta]) -> Lag | None:
    """Give median and longest."""
    seconds = [lag.total_seconds() for lag in lags]
    return Lag(timedelta(seconds=median(seconds)), timedelta(seconds=max(seconds))) if seconds else None
