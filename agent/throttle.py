# SPDX-License-Identifier: Apache-2.0
"""How fast one run may read and send, and when it waits for others. Rules only: clock, sleep and host come in.

Before the view of a source is opened nothing is held, so waiting is free; afterwards it is not, for an open view keeps
vacuum, undo or checkpoints waiting. So pauses may stretch a view to at most half of its age limit: with the size of the last
run known, reading never falls behind the straight line that ends there, which is the least rate; without, all pauses together
take at most that half. When there is no room for a pause, reading goes on. A view that keeps the application from writing
is not stretched at all. A source without an age limit waits as long as it takes. A pause by the operator ends the run: to
let go of the source is the point of it. Source: decision 0043.

`read` is called between blocks, by one thread; `send` by another. Neither sleeps longer than a second at a stretch.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from agent.errors import BudgetError, PausedError
from agent.host import Host, Look
from agent.latency import Latency
from agent.load import Reason
from terminal.language import Text

STRETCH: Final = 0.5
"""How much of the age limit pauses may use up."""

_SLICE_S: Final = 1.0
_LEAST_S: Final = 0.001
"""Nobody sleeps for less: what is left of a pause is rounding."""

_GROWTH: Final = 1.1
"""A source is taken to have grown by so much since its last run."""

_SLOW: Final = 4.0
"""While the source answers slowly, each block is followed by so many times the time that it took."""

_WINDOW: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of each day, in local time; past midnight if it ends before it begins."""

    begin: time
    end: time

    def holds(self, moment: time) -> bool:
        """Tell whether `moment` is within; the end is not."""
        if self.begin <= self.end:
            return self.begin <= moment < self.end
        return moment >= self.begin or moment < self.end

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"


def parse_quiet_hours(text: str) -> QuietHours:
    """Read `07:30-18:00`. Raises: ValueError, also if it is no time at all."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hours = QuietHours(time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4])))
    if hours.begin == hours.end:
        raise ValueError(text)
    return hours


@dataclass(frozen=True, slots=True)
class Limits:
    """What a person set. Percentages are of all cores; rates are bytes a second; None: no limit.

    `share`: the percentage of the time in which reading may be at work; it pauses for the rest.
    In quiet hours reading keeps to `quiet_rate`; if that is None, no run begins, and one that is under way keeps to
    the least rate.
    """

    max_cpu: float | None = None
    max_io_wait: float | None = None
    min_free_memory: int | None = None
    max_load: float | None = None
    share: float | None = None
    read_rate: int | None = None
    send_rate: int | None = None
    quiet_hours: QuietHours | None = None
    quiet_rate: int | None = None
    begin_within_s: float = 1800.0

    @property
    def watches_host(self) -> bool:
        """Tell whether a limit is about this machine."""
        return any(x is not None for x in (self.max_cpu, self.max_io_wait, self.min_free_memory, self.max_load))


class Bucket:
    """A token bucket that holds a second's worth; a block larger than that is paid for afterwards."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = rate
        self._filled = now

    def take(self, size: int, now: float) -> float:
        """Take `size` bytes at `now`; give the seconds to wait until they are paid for."""
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate) - size
        self._filled = now
        return max(0.0, -self._tokens / self._rate)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a throttle works with: monotonic seconds, a sleep, local time, the machine.

    `check_pause` raises PausedError if the operator has paused the agent.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    local_time: Callable[[], datetime]
    host: Host
    check_pause: Callable[[], None]


class Throttle:
    """The pace of one run.

    `age_limit_s`: how old the view may get; None: any age. `expected_bytes`: what the last whole run read; None: not
    known. `force`: quiet hours do not count. `attend`, if set: the open view's look at its own limits, which must not wait
    for a pause to end; `may_stretch`: whether it may be held open for pauses at all. The other attributes tell the load report what happened.
    """

    def __init__(
        self,
        limits: Limits,
        around: Surroundings,
        latency: Latency,
        *,
        age_limit_s: float | None = None,
        expected_bytes: int | None = None,
        force: bool = False,
    ) -> None:
        self.latency = latency
        # Every reason stands here from the start: two threads add to it, and a third may read.
        self.pauses_s: dict[Reason, float] = dict.fromkeys(Reason, 0.0)
        self.read_bytes = 0
        self.waited_s = 0.0
        self.transaction_s = 0.0
        self.is_hurried = False
        self.attend: Callable[[], None] | None = None
        self.may_stretch = True
        self.host_cpu_before: float | None = None
        self.host_cpu_during: float | None = None
        self.host_load_before: float | None = None
        self._limits = limits
        self._around = around
        self._age_limit_s = age_limit_s
        self._expected_bytes = expected_bytes
        self._force = force
        now = around.clock()
        self._read_bucket = Bucket(limits.read_rate, now) if limits.read_rate else None
        self._quiet_bucket = Bucket(limits.quiet_rate, now) if limits.quiet_rate else None
        self._send_bucket = Bucket(limits.send_rate, now) if limits.send_rate else None
        self._opened_at: float | None = None
        self._has_begun = False
        self._idle_s = 0.0
        self._bytes_before = 0
        self._pauses_before_s = 0.0
        self._resumed_at = now
        self._gauge = _Gauge(around.host.look(), now)
        self._first_look = self._gauge.newest

    def refuse(self, source: str) -> None:
        """Raises: PausedError while the agent is paused or in quiet hours."""
        self._around.check_pause()
        self._refuse_quiet_hours(source)

    def wait_to_begin(self, source: str) -> None:
        """Return when a view of `source` may be opened: the first, or one that takes another's place.

        Raises: PausedError while the agent is paused or in quiet hours, BudgetError if this machine stays too busy. A
        run that has begun is under way whatever the hour, and quiet hours only slow it.
        """
        if self._has_begun:
            self._around.check_pause()
        else:
            self.refuse(source)
        began, before_s = self._around.clock(), self.waited_s
        if self._limits.max_cpu is not None or self._limits.max_io_wait is not None:
            self._around.sleep(_SLICE_S)  # a percentage is the difference of two looks
        self._gauge.refresh(self._around.host, self._around.clock())
        while (over := self._find_excess()) is not None:
            waited_s = self._around.clock() - began
            if waited_s >= self._limits.begin_within_s:
                raise BudgetError(
                    Text(
                        zh=f"{source} 没有{'读完' if self._has_begun else '开始读'}：本机繁忙已 {waited_s:.0f} 秒（{over[1]}）",
                        en=f"{source} was not {'read on' if self._has_begun else 'begun'}: this machine was too busy for"
                        f" {waited_s:.0f} s ({over[1]})",
                    ),
                    hint=Text(
                        zh="换一个空闲的时段，或在 agent.yaml 中放宽 `throttle` 下的该项限制",
                        en="try at a quieter hour, or raise that limit under `throttle` in agent.yaml",
                    ),
                )
            self._around.sleep(_SLICE_S)
            self._around.check_pause()
        if not self._has_begun:
            self.host_cpu_before = self._gauge.cpu_percent
            self.host_load_before = self._gauge.newest.load
        self.waited_s = before_s + self._around.clock() - began

    def begin(self) -> None:
        """Take note that a view is being opened: its age counts from here."""
        self._opened_at = self._resumed_at = self._around.clock()
        self._idle_s = 0.0
        self._bytes_before, self._pauses_before_s = self.read_bytes, self._paused_s()
        if not self._has_begun:
            self._first_look = self._around.host.look()
        self._has_begun = True

    def resume(self) -> None:
        """Take note that reading begins now: the view has stood open meanwhile, while others of its group were read."""
        now = self._resumed_at = self._around.clock()
        if self._opened_at is not None:
            self._idle_s = now - self._opened_at

    def end(self) -> None:
        """Take note that the view is closed."""
        if self._opened_at is not None:
            self.transaction_s = max(self.transaction_s, self._around.clock() - self._opened_at)
            self.host_cpu_during = _share(self._first_look, self._around.host.look(), lambda look: look.busy_s)
            self._opened_at = None
            self.attend, self.may_stretch = None, True

    def read(self, size_bytes: int) -> None:
        """Take note of a block that was read; return when the next one may be. Raises: PausedError, what `attend` raises."""
        around, now, paused_s = self._around, self._around.clock(), self._paused_s()
        worked_s = now - self._resumed_at
        around.check_pause()
        self.read_bytes += size_bytes
        if self._read_bucket is not None:
            self._pause(Reason.READ_RATE, self._read_bucket.take(size_bytes, now))
        if self._is_quiet() and self._quiet_bucket is not None:
            self._pause(Reason.QUIET_HOURS, self._quiet_bucket.take(size_bytes, now))
        while (reason := self._find_reason()) is not None and self._pause(reason, _SLICE_S):
            pass
        if self.latency.is_high():
            self._pause(Reason.LATENCY, _SLOW * worked_s)
        if self._limits.share is not None:
            # What takes longer because others work is paid for with a longer pause.
            owed_s = worked_s * (100 / self._limits.share - 1)
            self._pause(Reason.SHARE, owed_s - (self._paused_s() - paused_s))
        self._resumed_at = around.clock()

    def heed(self) -> None:
        """Go on, unless the operator has paused the agent. Raises: PausedError."""
        self._around.check_pause()

    def send(self, size_bytes: int) -> None:
        """Take note of bytes for the line; return when they may go."""
        if self._send_bucket is not None:
            self._sleep(Reason.SEND_RATE, self._send_bucket.take(size_bytes, self._around.clock()), lambda: None)

    def _find_reason(self) -> Reason | None:
        if self._is_quiet() and self._quiet_bucket is None:
            return Reason.QUIET_HOURS
        excess = self._find_excess()
        return None if excess is None else excess[0]

    def _find_excess(self) -> tuple[Reason, str] | None:
        """Give which limit of this machine is passed, and by what."""
        limits = self._limits
        if not limits.watches_host:
            return None
        gauge = self._gauge
        gauge.refresh(self._around.host, self._around.clock())
        if limits.max_cpu is not None and (gauge.cpu_percent or 0.0) > limits.max_cpu:
            return Reason.CPU, f"CPU {gauge.cpu_percent:.0f} %, max_cpu {limits.max_cpu:g}"
        if limits.max_io_wait is not None and (gauge.io_wait_percent or 0.0) > limits.max_io_wait:
            return (
                Reason.IO_WAIT,
                f"waiting for disks {gauge.io_wait_percent:.0f} %, max_io_wait {limits.max_io_wait:g}",
            )
        free = gauge.newest.free_memory_bytes
        if limits.min_free_memory is not None and free < limits.min_free_memory:
            return Reason.MEMORY, f"{free >> 20} MiB of memory free, min_free_memory {limits.min_free_memory >> 20} MiB"
        if limits.max_load is not None and gauge.newest.load > limits.max_load:
            return Reason.LOAD, f"load {gauge.newest.load:.1f}, max_load {limits.max_load:g}"
        return None

    def _is_quiet(self) -> bool:
        hours = self._limits.quiet_hours
        return hours is not None and not self._force and hours.holds(self._around.local_time().time())

    def _refuse_quiet_hours(self, source: str) -> None:
        if self._is_quiet() and self._limits.quiet_rate is None:
            hours = self._limits.quiet_hours
            raise PausedError(
                Text(
                    zh=f"{source} 没有开始：现在是静默时段（{hours}）",
                    en=f"{source} was not begun: these are its quiet hours ({hours})",
                ),
                hint=Text(
                    zh="换个时间运行；--force 仅放行这一次；设 quiet_rate 则慢速运行",
                    en="run it at another hour; --force lets this one through; with `quiet_rate` it would run slowly",
                ),
            )

    def _room_s(self) -> float:
        """Give how long the view may still be stretched by pauses; what is not positive is none."""
        if not self.may_stretch:
            return 0.0
        if self._age_limit_s is None or self._opened_at is None:
            return float("inf")
        # What a view has stood open before its turn came is gone from its share; what an earlier view had is none of its age.
        most = STRETCH * self._age_limit_s - self._idle_s
        if self._expected_bytes is None:
            return most - (self._paused_s() - self._pauses_before_s)
        expected = max(1.0, _GROWTH * self._expected_bytes - self._bytes_before)
        due = most * min(1.0, (self.read_bytes - self._bytes_before) / expected)
        return due - (self._around.clock() - self._opened_at - self._idle_s)

    def _paused_s(self) -> float:
        return sum(s for reason, s in self.pauses_s.items() if reason is not Reason.SEND_RATE)

    def _pause(self, reason: Reason, wanted_s: float) -> bool:
        """Pause for as long as wanted, or as there is room; tell whether there was any. Raises: as `read`."""
        if wanted_s < _LEAST_S:
            return True
        allowed_s = min(wanted_s, self._room_s())
        if allowed_s < wanted_s:
            self.is_hurried = True
        if allowed_s < _LEAST_S:
            return False
        self._sleep(reason, allowed_s, self._look_around)
        return True

    def _look_around(self) -> None:
        self._around.check_pause()
        if self.attend is not None:
            self.attend()

    def _sleep(self, reason: Reason, seconds: float, check: Callable[[], None]) -> None:
        began = self._around.clock()
        while (rest := began + seconds - self._around.clock()) > _LEAST_S / 2:
            self._around.sleep(min(rest, _SLICE_S))
            check()
        self.pauses_s[reason] += self._around.clock() - began


class _Gauge:
    """Percentages of this machine, from looks that are a second apart."""

    def __init__(self, look: Look, now: float) -> None:
        self.newest = look
        self.cpu_percent: float | None = None
        self.io_wait_percent: float | None = None
        self._looked_at = now

    def refresh(self, host: Host, now: float) -> None:
        """Look again, if a second has passed."""
        if now - self._looked_at < _SLICE_S:
            return
        before, self.newest, self._looked_at = self.newest, host.look(), now
        self.cpu_percent = _share(before, self.newest, lambda look: look.busy_s)
        self.io_wait_percent = _share(before, self.newest, lambda look: look.io_wait_s)


def _share(before: Look, after: Look, part: Callable[[Look], float]) -> float | None:
    total = after.total_s - before.total_s
    return 100.0 * max(0.0, part(after) - part(before)) / total if total > 0 else None
