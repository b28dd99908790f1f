# SPDX-License-Identifier: Apache-2.0
"""One run under supervision, from the question whether it may begin to the load report that is left of it.

Makes the throttle of a run from settings, hands out the collector that keeps to it, and writes down at the end, whatever
the end was, what the run asked of the source and of this machine. A report that cannot be written harms no snapshot.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType

from agent.errors import AgentError
from agent.host import Host
from agent.latency import Latency
from agent.load import LoadLog, LoadReport
from agent.outcome import Stage
from agent.pausing import PauseFile
from agent.settings.throttle import SourceThrottle
from agent.snapshot.attended import AttendedCollector, GuardedCollector
from agent.snapshot.progress import Heed, heed_nobody
from agent.throttle import Limits, Surroundings, Throttle, parse_quiet_hours

log = logging.getLogger(__name__)
COMPARED = "compared"
_WHOLE = frozenset({COMPARED, *(stage.value for stage in Stage)})


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is measured by: monotonic seconds, a sleep, the host, the CPU seconds that this process has used."""

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    host: Host
    cpu_s: Callable[[], float]


class SupervisedRun:
    """One run of the source `name`. A context manager; leaving it writes the load report, if a view was opened.

    `age_limit_s`: how old the view may get, None: any age. `force`: neither a pause that is in force now nor quiet hours
    count; a later pause does. `heed` is asked wherever a pause is looked for, and within packs.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        settings: SourceThrottle,
        clock: Callable[[], datetime],
        machine: Machine,
        *,
        age_limit_s: float | None,
        force: bool,
        heed: Heed = heed_nobody,
    ) -> None:
        self._name = name
        self._heed = heed
        self._clock = clock
        self._machine = machine
        self._probes = settings.max_latency is not None
        self._log = LoadLog(folder)
        self._attended: AttendedCollector | None = None
        self._facts: dict[str, object] = {}
        self._turns_cpu_s: float | None = None
        self._ended: datetime | None = None
        check = check_pause(folder, clock, force)

        def check_all() -> None:
            check()
            heed()

        around = Surroundings(machine.clock, machine.sleep, lambda: clock().astimezone(), machine.host, check_all)
        self.throttle = Throttle(
            limits_of(settings), around, Latency(settings.max_latency), age_limit_s=age_limit_s,
            expected_bytes=_last_size(self._log.reports(name)), force=force,
        )  # fmt: skip

    def __enter__(self) -> "SupervisedRun":
        self._began = self._clock()
        self._cpu_s = self._machine.cpu_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._attended is None or not self._attended.was_open:
            return
        if err is not None and not self._facts:
            self._facts = {"outcome": err.code if isinstance(err, AgentError) else type(err).__name__}
        try:
            self._log.add(self._report())
        except OSError as problem:
            log.warning("load not noted", extra={"source": self._name, "why": problem.strerror or str(problem)})

    def attend(self, collector: GuardedCollector) -> AttendedCollector:
        """Give the collector that the run is to read by."""
        self._attended = AttendedCollector(
            self._name, collector, self.throttle, self._machine.clock, probes=self._probes
        )
        return self._attended

    def send(self, size_bytes: int) -> None:
        """Take note of bytes for the line; return when they may go. Raises: what `heed` raises."""
        self._heed()
        self.throttle.send(size_bytes)

    def wait(self) -> None:
        """Wait until the view may be opened, before it is asked for. Raises: PausedError, BudgetError, LoginError."""
        assert self._attended is not None
        self._attended.wait()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Have a turn among the runs of a group: only what is done in its turns is put down to this run."""
        began = self._machine.cpu_s()
        self.throttle.resume()
        try:
            yield
        finally:
            self._turns_cpu_s = (self._turns_cpu_s or 0.0) + self._machine.cpu_s() - began
            self._ended = self._clock()

    def note(self, outcome: str, *, sequence: int | None = None, rows: int = 0, sent_bytes: int = 0) -> None:
        """Take note of how the run ended."""
        self._facts = {"outcome": outcome, "sequence": sequence, "rows": rows, "sent_bytes": sent_bytes}

    def _report(self) -> LoadReport:
        assert self._attended is not None
        throttle, strain = self.throttle, self._attended.strain
        report = LoadReport(
            source=self._name,
            sequence=None,
            began=self._began,
            ended=self._ended or self._clock(),
            outcome="",
            read_bytes=throttle.read_bytes,
            transaction_s=throttle.transaction_s,
            lock_wait_s=strain.lock_wait_s,
            blocked_s=strain.blocked_s,
            gave_way=strain.gave_way,
            refused_sessions=strain.refused_sessions,
            cpu_s=self._machine.cpu_s() - self._cpu_s if self._turns_cpu_s is None else self._turns_cpu_s,
            host_cpu_before=throttle.host_cpu_before,
            host_cpu_during=throttle.host_cpu_during,
            host_load_before=throttle.host_load_before,
            latency_before_s=throttle.latency.before_s,
            latency_during_s=throttle.latency.worst_s,
            waited_s=throttle.waited_s,
            pauses_s={reason: seconds for reason, seconds in throttle.pauses_s.items() if seconds > 0},
            hurried=throttle.is_hurried,
        )
        return replace(report, **self._facts)  # type: ignore[arg-type]  # the facts are named in `note` and `__exit__`


def check_pause(folder: Path, clock: Callable[[], datetime], force: bool) -> Callable[[], None]:
    """Give the check that raises PausedError while the agent in `folder` is paused.

    `force`: the pause that is in force now does not count, a later one does.
    """
    pauses = PauseFile(folder)
    overruled = pauses.find(clock()) if force else None

    def check() -> None:
        pause = pauses.find(clock())
        if pause is not None and pause != overruled:
            raise pause.refusal()

    return check


def limits_of(settings: SourceThrottle) -> Limits:
    """Give the limits that settings name."""
    return Limits(
        max_cpu=settings.max_cpu,
        max_io_wait=settings.max_io_wait,
        min_free_memory=settings.min_free_memory,
        max_load=settings.max_load,
        share=settings.share,
        read_rate=settings.read_rate,
        send_rate=settings.send_rate,
        quiet_hours=parse_quiet_hours(settings.quiet_hours) if settings.quiet_hours else None,
        quiet_rate=settings.quiet_rate,
        begin_within_s=settings.begin_within,
    )


def _last_size(reports: list[LoadReport]) -> int | None:
    """Give what the last run read that came to its end, or None."""
    return next((r.read_bytes for r in reversed(reports) if r.outcome in _WHOLE and r.read_bytes), None)
