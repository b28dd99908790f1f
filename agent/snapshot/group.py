# SPDX-License-Identifier: Apache-2.0
"""A group: sources whose views are opened at one moment, then read one after another, each with its own statement.

    1. settle every chain (may ask the center), then wait until each source may be begun: no view stands open meanwhile
    2. open all views at once, a thread for each            4. the caller delivers, when no view is open
    3. read the sources one by one, in their order but for those whose writers wait for us (first) and those that hold
       nothing (last), each at its own pace

A member that fails takes no other with it: what is written after its failure notes it. Each view is closed as soon as
its source has been read, and all of them before an error leaves; whoever waits for its turn is looked after
(`waiting.py`). How far apart the views were opened is measured, not bounded, and stands in each manifest
(`evidence.manifest.group`). Source: docs/decisions/0050, 0085.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

from agent.collectors.base import Collector, Finding, View
from agent.errors import AgentError, BudgetError, PinError, ReceiptError
from agent.snapshot.progress import Progress
from agent.snapshot.run import SourceRun
from agent.snapshot.splitting import SplitView
from agent.snapshot.supervised import SupervisedRun
from agent.snapshot.take import Taken
from agent.snapshot.waiting import Waiting
from agent.transport.send import Budget
from evidence.manifest.group import GroupId, GroupLack, GroupView
from terminal.language import Text

Show = Callable[[str], AbstractContextManager[Progress]]
"""Give the progress of a source, shown as long as the context lasts."""


@dataclass(frozen=True, slots=True)
class Member:
    """A source that is to be taken. The caller holds its `RunLock`, and `supervised` is entered; `collector` is attended by it."""

    source: str
    run: SourceRun
    collector: Collector
    supervised: SupervisedRun


@dataclass(slots=True)
class _Opened:
    """A view that stands open, as the collector that the recipe asks for one: whoever opens it again closes it then."""

    member: Member
    view: View
    opening: datetime
    opened: datetime
    closing: ExitStack

    @contextmanager
    def open_view(self) -> Iterator[View]:
        """Give the view, and close it."""
        with self.closing:
            yield self.view

    def let_go(self, why: BaseException) -> None:
        """Close the view before its turn; one that may be renewed is, when its turn comes."""
        if isinstance(why, BudgetError) and isinstance(self.view, SplitView):
            self.view.let_go()
        else:
            self.closing.close()

    def check(self) -> Sequence[Finding]:
        """Examine the source."""
        return self.member.collector.check()

    def grants(self) -> Text:
        """Give the source's."""
        return self.member.collector.grants()


def take_group(
    name: str,
    sources: Sequence[str],
    members: Sequence[Member],
    failed: Mapping[str, AgentError],
    clock: Callable[[], datetime],
    show: Show,
    *,
    send: bool,
    remarks: Sequence[str] = (),
    budget: Budget | None = None,
) -> dict[str, Taken | AgentError]:
    """Take a snapshot of each member into its spool; give what became of every source of the group.

    `sources` are all of the group in their order, `failed` those that are no members because they failed before.
    `remarks` go into the notes of each.
    Raises: PinError, ReceiptError: whoever answers is not our center, and no other source is shown to it.
    """
    ends: dict[str, Taken | AgentError] = dict(failed)
    settled = [member for member in members if _try(member, lambda m: m.run.settle(), ends)]
    ready = [member for member in settled if _try(member, lambda m: m.supervised.wait(), ends)]
    with ExitStack() as closing:
        began = clock()
        opened = _open_all(ready, clock, closing, ends)
        waiting = {each.member.source: _look_after(each, closing) for each in opened}
        last = max((each.opened for each in opened), default=began)
        group = GroupId(name, began)
        for each in sorted(opened, key=_turn_of):
            source = each.member.source
            view = GroupView(group, sources.index(source) + 1, len(sources), each.opening, each.opened, last - began)
            ends[source] = _take(each, waiting[source], view, ends, show, remarks, send=send, budget=budget)
    return {source: ends[source] for source in sources}


def _turn_of(opened: _Opened) -> int:
    """Give when a view's turn comes; among the same, the settings' order counts.

    First whose application cannot write while we read. Last what holds nothing, such as folders and dumps: the others'
    age grows meanwhile, and to close a file takes all locks on it away from this process (POSIX): of a database in a
    folder that is read, SQLite would read on under a view without its locks, and get what was written since.
    """
    throttle = opened.member.supervised.throttle
    if throttle.attend is None:
        return 2
    return 1 if throttle.may_stretch else 0


def _try(member: Member, act: Callable[[Member], object], ends: dict[str, Taken | AgentError]) -> bool:
    """Do `act`; an error of it is the member's end, and False is given."""
    try:
        act(member)
    except (PinError, ReceiptError):
        raise
    except AgentError as err:
        ends[member.source] = err
        return False
    return True


def _open_all(
    members: Sequence[Member], clock: Callable[[], datetime], closing: ExitStack, ends: dict[str, Taken | AgentError]
) -> list[_Opened]:
    """Open all views at once; `closing` closes those that nobody has closed."""
    if not members:
        return []
    with ThreadPoolExecutor(len(members), "opening") as threads:
        futures = [(member, threads.submit(_open, member, clock)) for member in members]
    # All have ended. First every view that is open gets somebody who closes it, then anything may be raised.
    opened = [_give(closing, future.result()) for _, future in futures if future.exception() is None]
    for member, future in futures:
        err = future.exception()
        if isinstance(err, AgentError):
            ends[member.source] = err
        elif err is not None:
            raise err
    return opened


def _open(member: Member, clock: Callable[[], datetime]) -> _Opened:
    with ExitStack() as closing:
        opening = clock()
        view = closing.enter_context(member.collector.open_view())
        return _Opened(member, view, opening, max(clock(), opening), closing.pop_all())


def _give(closing: ExitStack, opened: _Opened) -> _Opened:
    closing.push(opened.closing)
    return opened


def _look_after(opened: _Opened, closing: ExitStack) -> Waiting | None:
    """Have a view looked after that has limits of its own; `closing` ends that before it closes the view."""
    attend = opened.member.supervised.throttle.attend
    if attend is None:
        return None
    waiting = Waiting(attend, opened.let_go)
    closing.callback(waiting.end)
    return waiting


def _take(
    opened: _Opened,
    waiting: Waiting | None,
    view: GroupView,
    ends: Mapping[str, Taken | AgentError],
    show: Show,
    remarks: Sequence[str],
    *,
    send: bool,
    budget: Budget | None,
) -> Taken | AgentError:
    """Read one source; an error is what it gives."""
    member = opened.member
    lacks = [GroupLack(view.group, s, e.code).encode() for s, e in ends.items() if isinstance(e, AgentError)]
    try:
        if waiting is not None:
            waiting.end()
            if not (isinstance(opened.view, SplitView) and opened.view.is_let_go):
                waiting.check()
        with show(member.source) as progress, member.supervised.turn():
            return member.run.take(
                opened, progress, send=send, began=opened.opening, remarks=(view.encode(), *sorted(lacks), *remarks),
                pace=member.supervised.throttle.read, budget=budget,
            )  # fmt: skip
    except (PinError, ReceiptError):
        raise
    except AgentError as err:
        return err
    finally:
        opened.closing.close()
