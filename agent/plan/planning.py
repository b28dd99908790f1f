# SPDX-License-Identifier: Apache-2.0
"""Make a plan: open the source within limits of its own, ask for sizes, read a sample, ask the line, put it together.

The collector gets short limits, so that a server that sorts before it gives a row cannot keep the sample or the live
system busy: `statement_timeout` for one table, `snapshot_age_limit` for all. A dump command is never run for a plan.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.collectors.base import Collector, Sized
from agent.config import AgentConfig
from agent.doctor import FindData, examine_volume
from agent.errors import AgentError
from agent.finding import Finding
from agent.journal import JournalEntry, State
from agent.outcome import Outcome
from agent.plan.advice import advise
from agent.plan.estimate import READ_ALL, estimate, order_for_sample
from agent.plan.figures import Line, Plan, Question, Sample, Surroundings
from agent.plan.line import probe_line
from agent.plan.rhythm import judge_rhythm
from agent.plan.sample import Bounds, take_samples
from agent.settings.sources import AnySource, CommandSource, FilesSource, MysqlSource, PostgresqlSource, TableSource
from agent.snapshot.carrying import ReadPlan
from agent.snapshot.progress import Progress
from agent.spool import Spool
from agent.transport.base import Transport
from evidence.disk import make_folder
from evidence.manifest.statement import SnapshotStatement
from terminal.language import Language

_NIGHTS: Final = 7
"""So many of the newest nights count."""
_SIZING_SHARE: Final = 0.25
"""Of the time for the sample; a tree of many files, or a database file, takes as long to walk as it is large."""
_TABLE_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Desk:
    """What a plan is made with. `entries`: the journal's of this source; `connect` None: not enrolled."""

    folder: Path
    config: AgentConfig
    spool: Spool
    entries: Sequence[JournalEntry]
    last: Outcome | None
    connect: Callable[[], Transport] | None
    find_data: FindData
    clock: Callable[[], float]


def make_plan(
    source: AnySource, make_collector: Callable[[AnySource], Collector], desk: Desk, question: Question,
    progress: Progress,
) -> Plan:  # fmt: skip
    """Measure and estimate. Raises: SourceError and its kin."""
    began = desk.clock()
    sample_s = 0.0 if isinstance(source, CommandSource) else question.sample_s
    with make_collector(_limited(source, sample_s)).open_view() as view:
        tables = view.tables()
        opening_s = desk.clock() - began
        sized = view if isinstance(view, Sized) else None
        end = desk.clock() + sample_s * _SIZING_SHARE
        sizes = sized.sizes(lambda: desk.clock() >= end) if sized is not None else {}
        samples: list[Sample] = []
        if sample_s:
            samples = take_samples(
                view, order_for_sample(tables, sizes), Bounds(sample_s, sample_s * _TABLE_SHARE),
                desk.folder / "reading" / source.name, desk.config.spool.compression, desk.clock, progress,
            )  # fmt: skip
        consistency, is_copy = view.consistency.value, sized is not None and sized.is_copy
    line, trouble = _find_line(source.name, desk, question)
    plan = estimate(
        source.name, consistency, tables, sizes, samples, _look_around(source, desk), question,
        is_copy=is_copy, line=line, line_trouble=trouble, opening_s=opening_s,
        reads=ReadPlan(tuple(source.read.items())) if isinstance(source, TableSource) else READ_ALL,
    )  # fmt: skip
    return replace(plan, advice=tuple(advise(plan)))


def _limited(source: AnySource, sample_s: float) -> AnySource:
    """Give the source with limits that fit a sample; what a person has set lower stays."""
    if not sample_s or isinstance(source, FilesSource | CommandSource):
        return source
    age = min(source.snapshot_age_limit, round(2 * sample_s) + 10)
    limits: dict[str, int] = {"snapshot_age_limit": age}
    if isinstance(source, PostgresqlSource | MysqlSource):
        # A little more than a table's share: a table that gives rows is ended by the sample itself.
        most = round(sample_s * _TABLE_SHARE) + 1
        limits["statement_timeout"] = min(source.statement_timeout or most, most)
    return source.model_copy(update=limits)


def _find_line(name: str, desk: Desk, question: Question) -> tuple[Line | None, str]:
    """Give the line, or why there is none."""
    if question.line is not None:
        return question.line, ""
    if desk.connect is None:
        return None, "not enrolled"
    try:
        with desk.connect() as road:
            return probe_line(road, name, desk.clock), ""
    except AgentError as err:
        return None, err.sentence(Language.EN)


def _look_around(source: AnySource, desk: Desk) -> Surroundings:
    settings = desk.config.spool
    make_folder(settings.folder)
    free = shutil.disk_usage(settings.folder).free
    used = sum(pack.size for pack in desk.spool.packs())
    snapshots = [e for e in desk.entries if e.kind == SnapshotStatement.kind and e.state is State.STORED]
    return Surroundings(
        kind=source.kind,
        age_limit_s=None if isinstance(source, FilesSource | CommandSource) else float(source.snapshot_age_limit),
        is_seeded=bool(snapshots),
        sent=tuple(entry.sent_bytes for entry in snapshots[1:][-_NIGHTS:]),
        spool_room_bytes=max(0, min(settings.max_size - used, free - settings.min_free)),
        spool_limit_bytes=settings.max_size,
        spool_free_bytes=free,
        sort_room_bytes=shutil.disk_usage(desk.folder).free,
        last=desk.last,
        volume=examine_volume(source, settings.folder, desk.folder, desk.find_data),
        rhythm=_judge_schedule(source),
        read_sessions=source.read_sessions if isinstance(source, PostgresqlSource) else None,
    )


def _judge_schedule(source: AnySource) -> Finding | None:
    schedule = source.schedule
    return None if schedule is None else judge_rhythm("schedule", schedule.run, schedule.period())
