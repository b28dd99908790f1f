# SPDX-License-Identifier: Apache-2.0
"""What a run asked of the source and of this machine, and the file that keeps it for a year.

    load/SOURCE.jsonl    one line of JSON a run, oldest first; lines over a year old go when the next one is added

No evidence: a line that cannot be read is passed over, and a crash may cost the newest. One writer at a time (the caller
holds the source's lock); readers may come at any moment. No clock.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from evidence.disk import write_over
from terminal.printer import format_utc

KEPT: Final = timedelta(days=366)


class Reason(StrEnum):
    """Why reading or sending paused."""

    CPU = "cpu"
    IO_WAIT = "io wait"
    MEMORY = "memory"
    LOAD = "load"
    LATENCY = "latency"
    SHARE = "share"
    READ_RATE = "read rate"
    SEND_RATE = "send rate"
    QUIET_HOURS = "quiet hours"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """One run. Seconds are of the wall but for `cpu_s`; percentages are of all cores of this machine.

    `outcome`: how far the snapshot came (`stored`, `spooled`…), or the code of what ended it. `transaction_s`: how long the
    one view of the source was open. `lock_wait_s`: the longest that we waited for a table's lock; `blocked_s`: the longest
    that others were seen to wait for ours; `gave_way`: how often locks were given up for them; `refused_sessions`: how many of
    `read_sessions` the source refused. `latency_…`: p95 of a trifling question. `hurried`: pauses were cut short so that the
    view would not grow too old.
    """

    source: str
    sequence: int | None
    began: datetime
    ended: datetime
    outcome: str
    rows: int = 0
    read_bytes: int = 0
    sent_bytes: int = 0
    transaction_s: float = 0.0
    lock_wait_s: float = 0.0
    blocked_s: float = 0.0
    gave_way: int = 0
    cpu_s: float = 0.0
    host_cpu_before: float | None = None
    host_cpu_during: float | None = None
    host_load_before: float | None = None
    latency_before_s: float | None = None
    latency_during_s: float | None = None
    waited_s: float = 0.0
    pauses_s: Mapping[Reason, float] = field(default_factory=dict)
    hurried: bool = False
    refused_sessions: int = 0

    @property
    def read_bytes_per_s(self) -> float | None:
        """Give the average rate of reading; None where nothing was read."""
        return self.read_bytes / self.transaction_s if self.transaction_s > 0 else None

    @property
    def rows_per_s(self) -> float | None:
        """Give the average rate in rows."""
        return self.rows / self.transaction_s if self.transaction_s > 0 else None

    def as_document(self) -> dict[str, object]:
        """Give the report as JSON has it; numbers rounded to what they are worth."""
        document: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        document |= {"began": format_utc(self.began), "ended": format_utc(self.ended)}
        document |= {"pauses_s": {reason.value: round(s, 3) for reason, s in self.pauses_s.items()}}
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in document.items()}


def parse_report(line: str | bytes) -> LoadReport | None:
    """Read a line of a load file; None if it is none of this version's."""
    try:
        document = json.loads(line)
        document["began"] = datetime.fromisoformat(document["began"])
        document["ended"] = datetime.fromisoformat(document["ended"])
        document["pauses_s"] = {Reason(name): float(s) for name, s in document["pauses_s"].items()}
        return LoadReport(**document)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class LoadLog:
    """The load reports of an agent's sources."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "load"

    def add(self, report: LoadReport) -> None:
        """Keep a report; those that ended over a year before it go. Raises: OSError."""
        path = self._path(report.source)
        known = self.reports(report.source)
        line = json.dumps(report.as_document(), ensure_ascii=False).encode() + b"\n"
        kept = [each for each in known if report.ended - each.ended <= KEPT]
        if len(kept) < len(known):
            body = b"".join(json.dumps(each.as_document(), ensure_ascii=False).encode() + b"\n" for each in kept)
            write_over(path, body + line)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            # A line that a crash cut short must not swallow this one.
            if file.tell() and not _ends_with_newline(path):
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def reports(self, source: str) -> list[LoadReport]:
        """Give what is kept of a source, oldest first."""
        try:
            lines = self._path(source).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [report for line in lines if line and (report := parse_report(line)) is not None]

    def newest(self, source: str) -> LoadReport | None:
        """Give the newest report of a source, or None."""
        return next(reversed(self.reports(source)), None)

    def _path(self, source: str) -> Path:
        return self._folder / f"{source}.jsonl"


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
