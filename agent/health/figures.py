# SPDX-License-Identifier: Apache-2.0
"""The agent's status as figures for Prometheus. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from agent.health.document import find_lag_s
from agent.load import LoadReport
from agent.outcome import AgentStatus, SourceStatus
from terminal.exposition import Family, Sample


def list_families(status: AgentStatus, now: datetime) -> Iterator[Family]:
    """Yield the figures; the operator's handbook has what each says. Sources that never came so far have no sample."""
    sources = status.sources
    yield Family("jinsuo_agent_up", "gauge", "1 while the agent answers.", [({}, 1)])
    yield Family("jinsuo_agent_enrolled", "gauge", "1 once a center has it.", [({}, float(status.unit is not None))])
    yield Family(
        "jinsuo_agent_paused", "gauge", "1 while an operator paused it.", [({}, float(status.pause is not None))]
    )
    yield Family(
        "jinsuo_agent_source_taken_timestamp_seconds", "gauge", "When the newest statement was taken.",
        [(_of(s), s.taken_at.timestamp()) for s in sources if s.taken_at is not None],
    )  # fmt: skip
    yield Family(
        "jinsuo_agent_source_stored_timestamp_seconds", "gauge", "When the newest stored snapshot was taken.",
        [(_of(s), s.stored_at.timestamp()) for s in sources if s.stored_at is not None],
    )  # fmt: skip
    lags = [(_of(s), lag) for s in sources if (lag := find_lag_s(s, now)) is not None]
    yield Family("jinsuo_agent_source_lag_seconds", "gauge", "How old the newest stored snapshot is.", lags)
    yield Family(
        "jinsuo_agent_source_rows", "gauge", "Rows of the newest stored snapshot.",
        [(_of(s), s.rows) for s in sources if s.rows is not None],
    )  # fmt: skip
    yield Family(
        "jinsuo_agent_source_waiting", "gauge", "Statements without a receipt.", [(_of(s), s.waiting) for s in sources]
    )
    yield Family(
        "jinsuo_agent_source_waiting_bytes", "gauge", "Bytes of packs that are still to be sent.",
        [(_of(s), s.waiting_bytes) for s in sources],
    )  # fmt: skip
    yield from _list_loads([(source, source.load) for source in sources if source.load is not None])
    yield Family("jinsuo_agent_spool_bytes", "gauge", "Bytes that wait in the spool.", [({}, status.spool_bytes)])
    yield Family("jinsuo_agent_spool_limit_bytes", "gauge", "What may wait at most.", [({}, status.spool_limit_bytes)])
    yield Family(
        "jinsuo_agent_spool_free_bytes", "gauge", "Bytes free on the spool's volume.", [({}, status.spool_free_bytes)]
    )


def _list_loads(loads: Sequence[tuple[SourceStatus, LoadReport]]) -> Iterator[Family]:
    """Yield what the last run of each source asked of it."""

    def samples(figure: str) -> list[Sample]:
        return [(_of(source), float(getattr(load, figure))) for source, load in loads]

    for name, figure, told in (
        ("transaction_seconds", "transaction_s", "How long the last run's view of the source was open."),
        ("lock_wait_seconds", "lock_wait_s", "The longest that the last run waited for a table's lock."),
        ("blocked_seconds", "blocked_s", "The longest that others waited for the last run's locks."),
        ("read_bytes", "read_bytes", "Bytes that the last run read."),
        ("sent_bytes", "sent_bytes", "Bytes that the last run sent."),
        ("cpu_seconds", "cpu_s", "CPU seconds of the last run."),
    ):
        yield Family(f"jinsuo_agent_run_{name}", "gauge", told, samples(figure))


def _of(source: SourceStatus) -> dict[str, str]:
    return {"source": source.source}
