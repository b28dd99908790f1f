# SPDX-License-Identifier: Apache-2.0
"""A collector under supervision: refused logins are counted, the throttle knows when a view is open, a probe runs beside it.

    GuardedCollector     refused logins are counted, and the third is not tried
    AttendedCollector    wait until it may begin → probe's session, answers before → view; what it asked of others

Neither changes what is read. The view that the recipe gets is the collector's own.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from agent.collectors.base import (
    Attending,
    Collector,
    Finding,
    Heeding,
    Probe,
    Probing,
    Severity,
    Strain,
    Straining,
    View,
)
from agent.errors import AgentError, LoginError, LoginsStoppedError
from agent.latency import Prober
from agent.logins import LoginGuard
from agent.throttle import Throttle
from terminal.language import Language, Text

log = logging.getLogger(__name__)
_T = TypeVar("_T")


class GuardedCollector:
    """Another collector whose refused logins are counted. `guard` None: it has no login."""

    def __init__(self, collector: Collector, guard: LoginGuard | None) -> None:
        self._collector = collector
        self._guard = guard

    @contextmanager
    def open_view(self) -> Iterator[View]:
        """Open a view of the other. Raises also: LoginsStoppedError."""
        with self._counting(self._collector.open_view) as view:
            yield view

    @contextmanager
    def open_probe(self) -> Iterator[Probe | None]:
        """Open the other's probe, if it has one. Raises: LoginError; else None where it cannot be opened."""
        probing = self._collector
        if not isinstance(probing, Probing):
            yield None
            return
        with ExitStack() as closing:
            probe: Probe | None = None
            try:
                probe = closing.enter_context(self._counting(probing.open_probe))
            except LoginError:
                raise
            except AgentError:
                probe = None  # what is wrong will be told by who opens the view
            yield probe

    def check(self) -> Sequence[Finding]:
        """Examine the other, unless its logins are stopped."""
        if self._guard is None:
            return self._collector.check()
        try:
            self._guard.check()
        except LoginsStoppedError as err:
            said, advice = (Text(zh=tell(Language.ZH), en=tell(Language.EN)) for tell in (err.sentence, err.advice))
            return [Finding(Severity.FAIL, "login", said, advice, code=err.code)]
        findings = self._collector.check()
        codes = {finding.code for finding in findings}
        if LoginError.code in codes:
            self._count(self._guard.note_refusal)
        elif codes == {""}:
            self._count(self._guard.clear)
        return findings

    def grants(self) -> Text:
        """Give the other's."""
        return self._collector.grants()

    @contextmanager
    def _counting(self, open_session: Callable[[], AbstractContextManager[_T]]) -> Iterator[_T]:
        """Open a session; a refused login counts, one that succeeds ends the count."""
        if self._guard is None:
            with open_session() as session:
                yield session
            return
        self._guard.check()
        with ExitStack() as closing:
            try:
                session = closing.enter_context(open_session())
            except LoginError:
                self._count(self._guard.note_refusal)
                raise
            self._count(self._guard.clear)
            yield session

    def _count(self, act: Callable[[], None]) -> None:
        """Count; what the source said must not be hidden by a full disk here."""
        try:
            act()
        except OSError as err:
            log.warning("login not counted", extra={"why": err.strerror or str(err)})


class AttendedCollector:
    """A guarded collector that reads at the pace of `throttle`. `clock` is monotonic, in seconds.

    One view after another may be opened: all are of one run, and what counts as the source's usual answer is asked once.
    Attributes: `was_open`, whether a view was; `strain`, after it was closed: what they have asked of others.
    """

    def __init__(
        self, name: str, collector: GuardedCollector, throttle: Throttle, clock: Callable[[], float], *, probes: bool
    ) -> None:
        self.strain = Strain()
        self.was_open = False
        self._may_open = False
        self._name = name
        self._collector = collector
        self._throttle = throttle
        self._clock = clock
        self._probes = probes

    @contextmanager
    def open_view(self) -> Iterator[View]:
        """Wait until it may be, then open a view of the other. Raises also: PausedError, BudgetError."""
        throttle = self._throttle
        if not self._may_open:
            self.wait()
        self._may_open = False
        throttle.begin()
        try:
            # The view is closed first: whoever waits for a probe without an answer must hold nothing.
            with ExitStack() as beside, ExitStack() as closing:
                view = closing.enter_context(self._collector.open_view())
                self.was_open = True
                closing.callback(self._note_strain, view)
                if isinstance(view, Attending):
                    throttle.attend, throttle.may_stretch = view.attend, not view.blocks_writers
                if isinstance(view, Heeding):
                    view.heed = throttle.heed
                if self._probes:
                    self._ask_beside(beside)
                yield view
        finally:
            throttle.end()

    def wait(self) -> None:
        """Wait until a view may be opened, which then does not wait any more. Raises: PausedError, BudgetError, LoginError."""
        self._throttle.wait_to_begin(self._name)
        if not self.was_open:
            self._ask_before()
        self._may_open = True

    def check(self) -> Sequence[Finding]:
        """Examine the other."""
        return self._collector.check()

    def grants(self) -> Text:
        """Give the other's."""
        return self._collector.grants()

    def _ask_before(self) -> None:
        if self._probes:
            with self._collector.open_probe() as probe:
                if probe is not None:
                    Prober(probe, self._throttle.latency, self._clock).ask_before()

    def _ask_beside(self, closing: ExitStack) -> None:
        probe = closing.enter_context(self._collector.open_probe())
        if probe is not None:
            prober = Prober(probe, self._throttle.latency, self._clock)
            closing.callback(prober.close)
            prober.start()

    def _note_strain(self, view: View) -> None:
        if isinstance(view, Straining):
            before, new = self.strain, view.strain()
            if new.refused_sessions:
                log.warning("sessions refused", extra={"source": self._name, "sessions": new.refused_sessions})
            self.strain = Strain(
                max(before.lock_wait_s, new.lock_wait_s),
                max(before.blocked_s, new.blocked_s),
                before.gave_way + new.gave_way,
                max(before.refused_sessions, new.refused_sessions),
            )
