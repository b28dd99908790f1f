# SPDX-License-Identifier: Apache-2.0
"""Figures for Prometheus: how a scene and the receiver's counters are written, and the small server that shows them.

Plain HTTP, on loopback alone, `GET /metrics`; a figure is what was so when it was asked for. Whoever scrapes from another
machine puts a proxy of their own before it. Source: Prometheus text exposition format 0.0.4; docs/decisions/0076.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from center.alerts.alert import Severity
from center.alerts.course import Record
from center.alerts.scene import Scene
from center.errors import CenterError
from terminal.language import Text

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SOCKET_TIMEOUT_S: Final = 10
log = logging.getLogger(__name__)


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
    return "".join(_family(*family) for family in _families(figures))


def _families(figures: Figures) -> Iterator[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
    """Yield name, type, help and samples of each figure."""
    scene = figures.scene
    yield "jinsuo_up", "gauge", "1 while the center answers.", [({}, 1)]
    yield (
        "jinsuo_unit_last_seen_timestamp_seconds", "gauge", "When a unit last called.",
        [({"unit": u.unit}, u.seen.timestamp()) for u in scene.units if u.seen is not None],
    )  # fmt: skip
    yield (
        "jinsuo_unit_clock_error_seconds", "gauge", "How far an agent's clock is ahead of the center's.",
        [({"unit": u.unit}, u.heard.clock_error.total_seconds()) for u in scene.units if u.heard is not None],
    )  # fmt: skip
    yield (
        "jinsuo_unit_free_bytes", "gauge", "Bytes free on the volume of an agent's spool.",
        [
            ({"unit": u.unit}, u.heard.heartbeat.free_bytes)
            for u in scene.units
            if u.heard is not None and u.heard.heartbeat.free_bytes is not None
        ],
    )  # fmt: skip
    stored = [(unit, source, one.stored) for (unit, source), one in scene.newest.items() if one.stored is not None]
    yield (
        "jinsuo_source_last_stored_timestamp_seconds", "gauge", "When the newest stored snapshot of a source came.",
        [({"source": source, "unit": unit}, row.received.timestamp()) for unit, source, row in stored],
    )  # fmt: skip
    yield (
        "jinsuo_source_lag_seconds", "gauge", "How old the newest stored snapshot of a source is.",
        [({"source": s, "unit": u}, (scene.now - min(r.ended, r.received)).total_seconds()) for u, s, r in stored],
    )  # fmt: skip
    yield (
        "jinsuo_source_rows", "gauge", "Rows of the newest stored snapshot of a source.",
        [({"source": source, "unit": unit}, row.rows) for unit, source, row in stored],
    )  # fmt: skip
    yield (
        "jinsuo_statements", "gauge", "Statements in the log, by unit, kind and level.",
        [({"kind": k, "level": lv, "unit": u}, n) for (u, k, lv), n in sorted(figures.levels.items())],
    )  # fmt: skip
    yield (
        "jinsuo_requests_total",
        "counter",
        "Requests since the start, by the status of the answer.",
        [({"status": str(status)}, count) for status, count in figures.statuses.items()],
    )
    yield (
        "jinsuo_received_bytes_total",
        "counter",
        "Bytes of bodies received since the start.",
        [({}, figures.received_bytes)],
    )
    yield "jinsuo_log_size", "gauge", "Entries of the log.", [({}, figures.log_size)]
    age: list[tuple[dict[str, str], float]] = (
        [] if figures.log_at is None else [({}, (scene.now - figures.log_at).total_seconds())]
    )
    yield "jinsuo_checkpoint_age_seconds", "gauge", "How long ago the newest entry came.", age
    yield "jinsuo_ledger_held", "gauge", "1 while the ledger signs nothing.", [({}, float(scene.held is not None))]
    yield "jinsuo_disk_free_bytes", "gauge", "Bytes free on the disk of the store.", [({}, scene.free_bytes)]
    yield "jinsuo_disk_size_bytes", "gauge", "Bytes of the disk of the store.", [({}, scene.total_bytes)]
    counts = dict.fromkeys(Severity, 0)
    for record in figures.records.values():
        if record.is_open:
            counts[record.alert.severity] += 1
    yield (
        "jinsuo_alerts_open",
        "gauge",
        "Open alerts, by severity.",
        [({"severity": severity.word}, count) for severity, count in counts.items()],
    )
    yield (
        "jinsuo_alerts_pending",
        "gauge",
        "What waits on a channel.",
        [({"channel": name}, count) for name, count in sorted(figures.pending.items())],
    )


def _family(name: str, kind: str, told: str, samples: Iterable[tuple[dict[str, str], float]]) -> str:
    lines = [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        number = str(int(value)) if float(value).is_integer() else repr(float(value))
        lines.append(f"{name}{{{shown}}} {number}" if shown else f"{name} {number}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class MetricsServer:
    """Shows what `write` gives at `/metrics`. Attribute `port`: the one that is listened on."""

    def __init__(self, host: str, port: int, write: Callable[[], str]) -> None:
        """Take the address. Raises: MetricsAddressError."""
        try:
            self._server = ThreadingHTTPServer((host, port), _make_handler(write))
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
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread as long as the block lasts."""
        thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _make_handler(write: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SOCKET_TIMEOUT_S

        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            try:
                body = write().encode()
            except Exception:
                # The top of a request: the daemon lives, the trace is in the log.
                log.exception("metrics failed")
                self.send_error(500)
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of a scrape."""

    return Handler
