# SPDX-License-Identifier: Apache-2.0
"""Scenes that the watch looks at: quiet ones, in which a test states what is amiss."""

from datetime import UTC, datetime, timedelta

from center.alerts.calendar import Calendar
from center.alerts.scene import Scene, SourceScene, UnitScene
from center.registry.catalog_tables import StatementRow
from center.registry.signs import Heard, Listening
from evidence.digest import Sha256, sha256
from evidence.manifest.entry import Level
from evidence.wire.heartbeat import Heartbeat, SourceBeat

NOW = datetime(2026, 11, 25, 2, tzinfo=UTC)  # a Wednesday, 10:00 in Shanghai
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def make_row(sequence: int = 412, **changes: object) -> StatementRow:
    """Give a stored snapshot of X013/his, taken two hours ago, but for `changes`."""
    facts: dict[str, object] = {
        "unit": "X013", "source": "his", "sequence": sequence, "kind": "snapshot",
        "digest": sha256(f"{sequence} {sorted(changes)}".encode()), "previous": None, "level": Level.STORED,
        "index": sequence, "stored_index": sequence, "received": NOW - 2 * HOUR, "began": NOW - 3 * HOUR,
        "ended": NOW - 2 * HOUR, "tables": 2, "rows": 1000, "bytes_": 1 << 20, "root": Sha256(bytes(32)),
        "manifest_sha256": Sha256(bytes(32)), "manifest_object": None, "consistency": "consistent", "flags": (),
        "note": b"",
    }  # fmt: skip
    return StatementRow(**(facts | changes))  # type: ignore[arg-type]  # the test states what it changes


def make_beat(clock: datetime = NOW, free_bytes: int | None = 100 << 30, *sources: SourceBeat) -> Heartbeat:
    """Give a heartbeat in which nothing is amiss."""
    return Heartbeat(clock, "jinsuo test", free_bytes, False, None, sources)


def make_unit(unit: str = "X013", **changes: object) -> UnitScene:
    """Give a unit with a source `his` that has just called, but for `changes`."""
    facts: dict[str, object] = {
        "unit": unit, "name": "市第一医院", "disabled": False, "enrolled_at": NOW - 100 * DAY, "sources": ("his",),
        "seen": NOW, "heard": Heard(NOW, make_beat()),
    }  # fmt: skip
    return UnitScene(**(facts | changes))  # type: ignore[arg-type]  # likewise


def make_scene(*units: UnitScene, **changes: object) -> Scene:
    """Give a scene in which nothing is amiss, but for `changes`; each unit's `his` has a snapshot of two hours ago."""
    present = units or (make_unit(),)
    row = make_row()
    facts: dict[str, object] = {
        "now": NOW, "calendar": Calendar(), "units": present,
        "newest": {(unit.unit, "his"): SourceScene(row, row) for unit in present}, "waiting": (),
        "listening": Listening(((NOW - 50 * DAY, NOW),)), "free_bytes": 500 << 30, "total_bytes": 1000 << 30,
        "reserve_bytes": 256 << 20, "certificate_ends": NOW + 3000 * DAY, "held": None, "has_hold": False, "failing_channels": {},
    }  # fmt: skip
    return Scene(**(facts | changes))  # type: ignore[arg-type]  # likewise
