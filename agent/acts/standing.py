# SPDX-License-Identifier: Apache-2.0
"""How everything stands, told from what lies in the agent's folder. Asks neither a source nor the center, changes nothing."""

from collections.abc import Mapping, Sequence

from tzlocal import get_localzone

from agent.acts.outcomes import STAGES, make_outcome
from agent.acts.parts import Parts
from agent.identity import Identity, is_enrolled
from agent.jobs.job import Job, make_jobs
from agent.jobs.telling import Ahead, find_ahead
from agent.journal import State
from agent.load import LoadReport
from agent.outcome import AgentStatus, Outcome, SourceStatus
from evidence.manifest.statement import SnapshotStatement


class Standing:
    """The acts that only look."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def group_names(self) -> Sequence[str]:
        """Give the names of the configured groups, in the order of the file."""
        return [group.name for group in self._parts.config.groups]

    def jobs(self) -> Sequence[Job]:
        """Give what is scheduled, groups first, in the order of the file."""
        return make_jobs(self._parts.config, get_localzone())

    def newest(self, sources: Sequence[str]) -> Mapping[str, int]:
        """Give the sequence of the newest snapshot of each of these sources; 0: none yet."""
        return {name: self._parts.journal.latest_snapshot(name) for name in sources}

    def last_outcome(self, name: str) -> Outcome | None:
        """Give the newest snapshot of a source that was taken here, or None."""
        entries = [entry for entry in self._parts.journal.all_of(name) if entry.kind == SnapshotStatement.kind]
        return make_outcome(entries[-1], self._parts.folder) if entries else None

    def loads(self, source: str | None) -> Sequence[LoadReport]:
        """Give the load reports of a source (None: of all), oldest first. Raises: SourceError if there is no such source."""
        parts = self._parts
        names = parts.source_names() if source is None else [parts.get_source(source).name]
        return [report for name in names for report in parts.loads.reports(name)]

    def status(self) -> AgentStatus:
        """Tell where everything stands, without asking the center."""
        parts = self._parts
        address = Identity.open(parts.folder).address if is_enrolled(parts.folder) else None
        ahead = find_ahead(parts.folder, self.jobs(), parts.clock())
        sources = tuple(
            self._source_status(source.name, source.kind, ahead.get(source.name)) for source in parts.config.sources
        )
        return AgentStatus(
            folder=parts.folder,
            unit=address.unit if address else None,
            center=address.url if address else None,
            sources=sources,
            spool_bytes=sum(source.waiting_bytes for source in sources),
            spool_limit_bytes=parts.config.spool.max_size,
            spool_free_bytes=parts.spool_free_bytes(),
            pause=parts.pauses.find(parts.clock()),
        )

    def _source_status(self, name: str, kind: str, ahead: Ahead | None) -> SourceStatus:
        parts = self._parts
        missed = ahead.missed if ahead else None
        entries = parts.journal.all_of(name)
        newest = entries[-1] if entries else None
        outage = parts.journal.outage(name)
        stored = next((e for e in reversed(entries) if e.state is State.STORED and e.kind == "snapshot"), None)
        return SourceStatus(
            source=name,
            kind=kind,
            sequence=newest.sequence if newest else None,
            stage=STAGES[newest.state] if newest else None,
            taken_at=newest.taken_at if newest else None,
            stored_sequence=stored.sequence if stored else None,
            stored_at=stored.taken_at if stored else None,
            log_index=stored.log_index if stored else None,
            rows=stored.rows if stored else None,
            waiting=sum(1 for e in entries if e.state is State.TAKEN),
            waiting_bytes=sum(pack.size for pack in parts.spool(name).unsent()),
            load=parts.loads.newest(name),
            schedule=ahead.words if ahead else "",
            next_run=ahead.next_run if ahead else None,
            missed_at=missed.last if missed else None,
            missed_why=missed.reason if missed else "",
            no_room_since=None if outage is None else outage.since,
        )
