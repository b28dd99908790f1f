# SPDX-License-Identifier: Apache-2.0
"""The watch: looks once a minute, decides what is to be said, and lets the post say it.

A rule that fails stops neither the others nor the daemon: it is an alert of its own, and nothing of its kind is taken for
mended meanwhile. One thread looks; each channel has a thread of its own, which waits for nobody. None of them is the
receiver's: a mail server that hangs delays no snapshot.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.channels import ChannelError, Sender
from center.alerts.course import Item, Pace, Record, What, acknowledge, advance
from center.alerts.happenings import EVENT_RULES, EventRule
from center.alerts.look import Looker
from center.alerts.memory import Facts, Memory, Turn
from center.alerts.post import Post
from center.alerts.scene import Fresh, Scene
from center.alerts.secrets import SecretError
from center.alerts.states import RULES, Rule
from center.errors import NotFoundError
from center.settings.alerts import AlertSettings
from terminal.language import Text

_T = TypeVar("_T")
EVERY_S: Final = 60.0
POST_EVERY_S: Final = 15.0
STOP_S: Final = 5.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that are asked, by the kind that each gives."""

    states: Mapping[Kind, Rule]
    events: Mapping[Kind, EventRule]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look has found: what is amiss, what has happened up to the entry `examined`, and of what nothing is known."""

    states: tuple[Alert, ...]
    events: tuple[Alert, ...]
    unknown: frozenset[Kind]
    examined: int


ALL_RULES: Final = Rules(RULES, EVENT_RULES)


class Watch:
    """The watch of one center. `start` it beside the receiver, or `look` and `tell` by hand."""

    def __init__(
        self,
        looker: Looker,
        memory: Memory,
        post: Post,
        clock: Callable[[], datetime],
        rules: Rules = ALL_RULES,
    ) -> None:
        self._looker = looker
        self._memory = memory
        self._post = post
        self._clock = clock
        self._rules = rules
        self._settings: AlertSettings = looker.settings
        repeat = self._settings.repeat
        self._pace = Pace(
            None if repeat is None else timedelta(seconds=repeat), timedelta(seconds=self._settings.settle)
        )

    def look(self) -> list[Item]:
        """Look once, remember, and put what is to be said on the channels; give it.

        Raises: StoreError, FullError if the memory cannot be written: then nothing was decided.
        """
        now = self._clock()
        known = self._memory.facts() or Facts(now, self._looker.center.ledger.size, now)
        # Outside the turn: a disk that hangs under a look must not keep what waits from being told.
        seen = self._examine(now, known)
        with self._memory.turn() as turn:
            facts = turn.facts()
            # Another process has looked meanwhile, and noted what happened.
            is_first = facts is None or facts.examined == known.examined
            before = turn.records()
            alerts = [*seen.states, *(seen.events if is_first else ())]
            after, items = advance(before, alerts, now, self._pace, seen.unknown)
            tested = known.tested if facts is None else facts.tested
            due = _find_test(self._settings, now)
            if due is not None and due > tested:
                items.append(Item(What.TEST, now, None))
                tested = due
            turn.keep(before, after)
            new = Facts(known.since, seen.examined if is_first or facts is None else facts.examined, tested)
            if new != facts:
                turn.keep_facts(new)
            self._say(turn, items)
        for item in items:
            log.info("alert", extra={"what": item.what.value, "alert": item.alert.id if item.alert else "-"})
        return items

    @property
    def senders(self) -> Sequence[Sender]:
        """Give the channels."""
        return self._post.senders

    def deliver(self, sender: Sender) -> None:
        """Let a channel say what waits on it, if it may be tried, as the daemon does. Raises: StoreError, FullError."""
        self._post.deliver(sender, self._clock)

    def tell(self) -> dict[str, ChannelError | SecretError]:
        """Let each channel say what waits on it, for a person who waits; give what those that failed said."""
        return self._post.deliver_all(self._clock)

    def test(self) -> dict[str, ChannelError | SecretError]:
        """Send the test alarm to every channel now; give what those that failed said."""
        with self._memory.turn() as turn:
            self._say(turn, [Item(What.TEST, self._clock(), None)])
        return self.tell()

    def acknowledge(self, alert: str, by: str, reason: str) -> Record:
        """Take note that somebody has taken an open alert on. Raises: NotFoundError if there is none of this id."""
        with self._memory.turn() as turn:
            before = turn.records()
            record = before.get(alert)
            if record is None or not record.is_open:
                raise NotFoundError(
                    Text(zh=f"没有未解除的告警 {alert:.80}", en=f"there is no open alert {alert:.80}"),
                    hint=Text(
                        zh="jinsuo-center alerts 列出告警及其编号",
                        en="`jinsuo-center alerts` lists what is open, with the ids",
                    ),
                )
            after = acknowledge(record, self._clock(), by, reason)
            turn.keep(before, before | {alert: after})
        return after

    def scene(self) -> Scene:
        """Give the scene of now. Raises: CenterError, SettingsError, OSError."""
        return self._looker.look(self._clock(), self._failing())

    def records(self) -> dict[str, Record]:
        """Give the course of all alerts that are remembered."""
        return self._memory.records()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch in threads of its own as long as the block lasts. What is not said by then is said after the next start."""
        stopping = threading.Event()
        wakers = {sender.name: threading.Event() for sender in self._post.senders}
        self._looker.center.signs.listen(self._clock())
        threads = [threading.Thread(target=self._keep_looking, args=(stopping, wakers), name="watch", daemon=True)]
        threads += [
            threading.Thread(
                target=self._keep_telling, args=(sender, stopping, wakers[sender.name]), name=f"tell {sender.name}",
                daemon=True,
            )
            for sender in self._post.senders
        ]  # fmt: skip
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for waker in wakers.values():
                waker.set()
            for thread in threads:
                thread.join(STOP_S)

    def _keep_looking(self, stopping: threading.Event, wakers: Mapping[str, threading.Event]) -> None:
        while True:
            try:
                self._looker.center.signs.keep_listening(self._clock())
                if self.look():
                    for waker in wakers.values():
                        waker.set()
            except Exception:
                # The top of a thread: whatever it is, the next minute looks again, and the trace is in the log.
                log.exception("watch failed")
            if stopping.wait(EVERY_S):
                return

    def _keep_telling(self, sender: Sender, stopping: threading.Event, waker: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self.deliver(sender)
            except Exception:
                # The top of a thread, as above.
                log.exception("post failed", extra={"channel": sender.name})
            waker.wait(POST_EVERY_S)
            waker.clear()

    def _say(self, turn: Turn, items: list[Item]) -> None:
        for sender in self._post.senders:
            turn.say(sender.name, [item for item in items if item.alert is None or item.alert.severity >= sender.least])

    def _examine(self, now: datetime, facts: Facts) -> "_Seen":
        """Look at everything, and ask every rule; what fails is an alert of its own."""
        states: list[Alert] = []
        events: list[Alert] = []
        unknown: set[Kind] = set()
        settings = self._settings
        scene = _ask(partial(self._looker.look, now, self._failing()), "scene", now, states)
        if scene is None:
            unknown.update(self._rules.states)
        else:
            for kind, rule in self._rules.states.items():
                found = _ask(partial(_list_states, rule, scene, settings), kind.value, now, states)
                if found is None:
                    unknown.add(kind)
                else:
                    states += found
        fresh = _ask(partial(self._looker.read_fresh, facts.examined), "log", now, states)
        if fresh is not None:
            for kind, event_rule in self._rules.events.items():
                events += _ask(partial(_list_events, event_rule, fresh, settings), kind.value, now, states) or []
        examined = facts.examined if fresh is None else fresh.examined
        return _Seen(tuple(states), tuple(events), frozenset(unknown), examined)

    def _failing(self) -> dict[str, datetime]:
        return {name: trouble.since for name, trouble in self._memory.troubles().items()}


def _ask(work: Callable[[], _T], name: str, now: datetime, alerts: list[Alert]) -> _T | None:
    """Do a part of a look; if it fails, add an alert that says so, and give None."""
    try:
        return work()
    except Exception as err:
        # The top of a rule: whatever it is, the others are asked all the same, and this is told like anything amiss.
        log.exception("a part of the watch failed", extra={"part": name})
        why = " ".join(str(err).split())[:200] or type(err).__name__
        alerts.append(
            Alert(
                Kind.WATCH, name, Severity.ERROR, now,
                Text(zh=f"中心的值守有一项失败（{name}）：{why}", en=f"a part of the center's watch failed ({name}): {why}"),
                Text(
                    zh="看中心的日志；该项的告警暂时不可信，请用 jinsuo-center today 自己看",
                    en="see the center's log; what this part would tell is not told now: look at `jinsuo-center today`",
                ),
            )
        )  # fmt: skip
        return None


def _list_states(rule: Rule, scene: Scene, settings: AlertSettings) -> list[Alert]:
    return list(rule(scene, settings))


def _list_events(rule: EventRule, fresh: Fresh, settings: AlertSettings) -> list[Alert]:
    return list(rule(fresh, settings))


def _find_test(settings: AlertSettings, now: datetime) -> datetime | None:
    """Give the latest moment by `now` at which a test alarm is due; None if there are to be none."""
    if settings.test_day is None:
        return None
    zone = ZoneInfo(settings.zone)
    day = now.astimezone(zone).date().replace(day=settings.test_day)
    moment = datetime.combine(day, time.fromisoformat(settings.test_at), zone)
    if moment > now:
        before = day.replace(day=1) - timedelta(days=1)
        moment = datetime.combine(before.replace(day=settings.test_day), moment.timetz())
    return moment
