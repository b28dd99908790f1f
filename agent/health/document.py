# SPDX-License-Identifier: Apache-2.0
"""The agent's status as one JSON document: what `status --json` prints and `/status.json` shows. Pure."""

from datetime import datetime

from agent.load import LoadReport
from agent.outcome import AgentStatus, SourceStatus


def describe_status(status: AgentStatus, now: datetime) -> dict[str, object]:
    """Give the document; times are aware, `lag_seconds` counts from the newest stored snapshot."""
    return {
        "folder": status.folder,
        "unit": status.unit,
        "center": status.center,
        "pause": None if status.pause is None else {"since": status.pause.since, "until": status.pause.until},
        "sources": [_describe_source(source, now) for source in status.sources],
        "spool": {
            "bytes": status.spool_bytes,
            "limit_bytes": status.spool_limit_bytes,
            "free_bytes": status.spool_free_bytes,
        },
    }


def describe_load(report: LoadReport) -> dict[str, object]:
    """Give one run's load report."""
    rates = {"read_bytes_per_s": report.read_bytes_per_s, "rows_per_s": report.rows_per_s}
    return report.as_document() | {name: None if rate is None else round(rate) for name, rate in rates.items()}


def find_lag_s(source: SourceStatus, now: datetime) -> int | None:
    """Give how old the newest stored snapshot is, in seconds; None: there is none."""
    return None if source.stored_at is None else max(0, round((now - source.stored_at).total_seconds()))


def format_lag(seconds: int) -> str:
    """Give a time in the two units that matter.

    >>> format_lag(2 * 86400 + 3 * 3600), format_lag(300)
    ('2 d 3 h', '5 min')
    """
    days, hours, minutes = seconds // 86400, seconds % 86400 // 3600, seconds % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _describe_source(source: SourceStatus, now: datetime) -> dict[str, object]:
    return {
        "source": source.source,
        "kind": source.kind,
        "sequence": source.sequence,
        "level": source.stage,
        "taken_at": source.taken_at,
        "rows": source.rows,
        "stored_sequence": source.stored_sequence,
        "stored_at": source.stored_at,
        "log_index": source.log_index,
        "lag_seconds": find_lag_s(source, now),
        "waiting": source.waiting,
        "waiting_bytes": source.waiting_bytes,
        "last_error": source.last_error,
        "schedule": source.schedule or None,
        "next_run": source.next_run,
        "missed": None if source.missed_at is None else {"at": source.missed_at, "why": source.missed_why},
        "load": None if source.load is None else describe_load(source.load),
    }
