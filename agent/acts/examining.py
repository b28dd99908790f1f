# SPDX-License-Identifier: Apache-2.0
"""Examining sources and settings: what is fit, what a snapshot will take, whether a source equals its last statement.

Sources are asked, gently; nothing of them is kept or sent.
"""

import time
from collections.abc import Sequence

from tzlocal import get_localzone

from agent.acts.parts import Parts
from agent.acts.road import Road
from agent.acts.runs import Runs
from agent.acts.standing import Standing
from agent.collectors.watch import SourceWatch
from agent.doctor import Circumstances, examine
from agent.errors import AgentError, NotTheServiceError
from agent.finding import Finding, Severity
from agent.jobs.telling import examine_schedules
from agent.outcome import Comparison
from agent.plan.figures import Plan, Question
from agent.plan.planning import Desk, make_plan
from agent.settings.sources import FilesSource, SqliteSource
from agent.snapshot.compare import compare_source
from agent.snapshot.progress import Progress
from agent.snapshot.supervised import COMPARED
from terminal.errors import UsageError
from terminal.language import Text


class Examining:
    """The acts that ask sources and take nothing."""

    def __init__(self, parts: Parts, road: Road, runs: Runs, standing: Standing) -> None:
        self._parts = parts
        self._road = road
        self._runs = runs
        self._standing = standing

    def check(self, *, as_service: bool = False, retry_login: bool = False) -> Sequence[Finding]:
        """Examine settings, folder, line and every source."""
        parts = self._parts
        findings = examine(
            Circumstances(
                folder=parts.folder,
                config=parts.config,
                secrets=parts.secrets,
                environ=frozenset(parts.environ),
                ask_center=self._road.ask_center if self._road.is_enrolled() else None,
                clock=parts.clock,
                find_data=parts.find_data,
                environ_counts=not as_service,
            )
        )
        findings += examine_schedules(parts.config, self._standing.jobs(), parts.clock(), get_localzone())
        for source in parts.config.sources:
            try:
                findings += self._runs.guarded(source.name, retry_login).check()
            except AgentError as err:
                severity = Severity.NOT_EXAMINED if isinstance(err, NotTheServiceError) else Severity.FAIL
                findings.append(Finding(severity, source.name, err.message, err.remedy))
        return findings

    def grants(self, source: str) -> Text:
        """Give the SQL or the words that make the read-only account of the source.

        No password is looked for: it is chosen by whoever runs them. Raises: SourceError if there is no such source.
        """
        settings = self._parts.get_source(source)
        secrets: dict[str, object] = {"password": None, "env": {}}
        without = {key: nothing for key, nothing in secrets.items() if key in type(settings).model_fields}
        return self._parts.sources.collector(settings.model_copy(update=without)).grants()

    def plan(self, name: str, question: Question, progress: Progress) -> Plan:
        """Measure what a snapshot of the source will take. Raises: SourceError and its kin."""
        parts, road = self._parts, self._road
        source = parts.get_source(name)
        desk = Desk(
            folder=parts.folder,
            config=parts.config,
            spool=parts.spool(name),
            entries=parts.journal.all_of(name),
            last=self._standing.last_outcome(name),
            connect=road.line if road.is_enrolled() and not road.carries_files else None,
            find_data=parts.find_data,
            clock=time.monotonic,
        )
        with parts.lock(name):
            return make_plan(source, lambda source: self._runs.guarded(source.name), desk, question, progress)

    def compare(self, name: str, sequence: int | None, progress: Progress, *, force: bool = False) -> Comparison:
        """Tell whether a source equals what this agent registered as `sequence` (None: the newest snapshot).

        Raises: SourceError if the manifest of that statement is not kept here; as `snapshot`.
        """
        parts, guarded = self._parts, self._runs.guarded(name)
        with parts.lock(name), self._runs.supervised(name, force) as supervised:
            supervised.throttle.refuse(name)
            comparison = compare_source(
                name, supervised.attend(guarded), parts.folder, parts.journal, sequence, progress,
                parts.folder / "reading" / name, supervised.throttle.read,
            )  # fmt: skip
            rows = sum(table.rows_live or 0 for table in comparison.tables)
            supervised.note(COMPARED, sequence=comparison.sequence, rows=rows)
            return comparison

    def watches(self, names: Sequence[str]) -> Sequence[SourceWatch]:
        """Give a watch for each of these sources, or for all that are to be watched. They outlive this agent.

        Raises: UsageError if there are none, or one is not to be watched.
        """
        sources = self._parts.config.sources
        watched = [s for s in sources if isinstance(s, FilesSource | SqliteSource) and s.watch is not None]
        known = {source.name for source in watched}
        wrong = next((name for name in names if name not in known), None)
        if wrong is not None or not known:
            listed = ", ".join(sorted(known)) or "-"
            raise UsageError(
                Text(
                    zh=f"来源 {wrong} 没有设置监视" if wrong else "没有来源设置了监视",
                    en=f"source {wrong} is not set to be watched" if wrong else "no source is set to be watched",
                ),
                hint=Text(
                    zh=f"在 agent.yaml 中为 files 或 sqlite 来源加入 watch；已设置的：{listed}",
                    en=f"add `watch:` to a files or sqlite source in agent.yaml; those that have it: {listed}",
                ),
            )
        return [self._parts.sources.watch(source) for source in watched if not names or source.name in names]
