# SPDX-License-Identifier: Apache-2.0
"""Figures for Prometheus: which ones a scene and the receiver's counters make, and where they are shown.

At `/metrics`, on loopback alone; a figure is what was so when it was asked for. How they are written is a matter of
`terminal.exposition`, how they are served of `terminal.pages`. Source: docs/decisions/0074.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from center.alerts.alert import Severity
from center.alerts.course import Record
from center.alerts.scene import Scene
from center.errors import CenterError
from terminal.exposition import CONTENT_TYPE, Family, write_exposition
from terminal.language import Text
from terminal.pages import Page, PageServer


class MetricsAddressError(CenterError):
    """The address for metrics cannot be listened on."""

    code = "JS-3222"


@dataclass(frozen=True, slots=True)
class Figures:
    """What is shown. `levels`: statements by unit, kind and level; `log_at`: when the newest entry of the log came."""

    scene: Scene
    records: Mapping[str, Record]
    levels: Mapping[tuple[str, str, str], int]
    statuses: Mapping[int, int]
    received_bytes: int
    log_size: int
    log_at: datetime | None
    pending: Mapping[str, int]


def write_metrics(figures: Figures) -> str:
    """Write figures in the text format."""
    return write_exposition(_list_families(figures))


def _list_families(figures: Figures) -> Iterator[Family]:
    scene = figures.scene
    yield Family("jinsuo_up", "gauge", "1 while the center answers.", [({}, 1)])
    yield Family(
        "jinsuo_unit_last_seen_timestamp_seconds", "gauge", "When a unit last called.",
        [({"unit": u.unit}, u.seen.timestamp()) for u in scene.units if u.seen is not None],
    )  # fmt: skip
    yield Family(
        "jinsuo_unit_clock_error_seconds", "gauge", "How far an agent's clock is ahead of the center's.",
        [({"unit": u.unit}, u.heard.clock_error.total_seconds()) for u in scene.units if u.heard is not None],
    )  # fmt: skip
    yield Family(
        "jinsuo_unit_free_bytes", "gauge", "Bytes free on the volume of an agent's spool.",
        [
            ({"unit": u.unit}, u.heard.heartbeat.free_bytes)
            for u in scene.units
            if u.heard is not None and u.heard.heartbeat.free_bytes is not None
        ],
    )  # fmt: skip
    stored = [(unit, source, one.stored) for (unit, source), one in scene.newest.items() if one.stored is not None]
    yield Family(
        "jinsuo_source_last_stored_timestamp_seconds", "gauge", "When the newest stored snapshot of a source came.",
        [({"source": source, "unit": unit}, row.received.timestamp()) for unit, source, row in stored],
    )  # fmt: skip
    yield Family(
        "jinsuo_source_lag_seconds", "gauge", "How old the newest stored snapshot of a source is.",
        [({"source": s, "unit": u}, (scene.now - min(r.ended, r.received)).total_seconds()) for u, s, r in stored],
    )  # fmt: skip
    yield Family(
        "jinsuo_source_rows", "gauge", "Rows of the newest stored snapshot of a source.",
        [({"source": source, "unit": unit}, row.rows) for unit, source, row in stored],
    )  # fmt: skip
    yield Family(
        "jinsuo_statements", "gauge", "Statements in the log, by unit, kind and level.",
        [({"kind": k, "level": lv, "unit": u}, n) for (u, k, lv), n in sorted(figures.levels.items())],
    )  # fmt: skip
    yield Family(
        "jinsuo_requests_total",
        "counter",
        "Requests since the start, by the status of the answer.",
        [({"status": str(status)}, count) for status, count in figures.statuses.items()],
    )
    yield Family(
        "jinsuo_received_bytes_total",
        "counter",
        "Bytes of bodies received since the start.",
        [({}, figures.received_bytes)],
    )
    yield Family("jinsuo_log_size", "gauge", "Entries of the log.", [({}, figures.log_size)])
    age: list[tuple[dict[str, str], float]] = (
        [] if figures.log_at is None else [({}, (scene.now - figures.log_at).total_seconds())]
    )
    yield Family("jinsuo_checkpoint_age_seconds", "gauge", "How long ago the newest entry came.", age)
    yield Family(
        "jinsuo_ledger_held", "gauge", "1 while the ledger signs nothing.", [({}, float(scene.held is not None))]
    )
    yield Family("jinsuo_disk_free_bytes", "gauge", "Bytes free on the disk of the store.", [({}, scene.free_bytes)])
    yield Family("jinsuo_disk_size_bytes", "gauge", "Bytes of the disk of the store.", [({}, scene.total_bytes)])
    counts = dict.fromkeys(Severity, 0)
    for record in figures.records.values():
        if record.is_open:
            counts[record.alert.severity] += 1
    yield Family(
        "jinsuo_alerts_open",
        "gauge",
        "Open alerts, by severity.",
        [({"severity": severity.word}, count) for severity, count in counts.items()],
    )
    yield Family(
        "jinsuo_alerts_pending",
        "gauge",
        "What waits on a channel.",
        [({"channel": name}, count) for name, count in sorted(figures.pending.items())],
    )


def open_metrics(host: str, port: int, write: Callable[[], str]) -> PageServer:
    """Take the address at which `/metrics` shows what `write` gives; it is served once it runs. Raises: MetricsAddressError."""
    try:
        return PageServer(host, port, {"/metrics": lambda _: Page(CONTENT_TYPE, write().encode())})
    except OSError as err:
        raise MetricsAddressError(
            Text(
                zh=f"无法在 {host}:{port} 上提供指标：{err.strerror or err}",
                en=f"metrics cannot be shown at {host}:{port}: {err.strerror or err}",
            ),
            hint=Text(
                zh="端口可能被其他程序占用：见 center.yaml 的 metrics.listen",
                en="another program may use the port: see `metrics.listen` in center.yaml",
            ),
        ) from err
