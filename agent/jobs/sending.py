# SPDX-License-Identifier: Apache-2.0
"""Sending what waits in the spool, in slices: a catch-up of weeks never stands in the way of the run that is due now.

A slice ends between two packs, so nothing is sent twice for it. Sources take turns: the next slice begins with the source
behind the one that the last slice ended in. Where the center has all that can be given now, it is asked more and more seldom.
Only an answer that no honest center gives is raised; all else is logged.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import CenterDownError, PausedError, PinError, ReceiptError, StoppedError
from agent.jobs.asking import OpenWorking, Working
from agent.jobs.patience import Patience
from agent.outcome import Outcome, Stage
from agent.snapshot.progress import Heed, heed_nobody
from terminal.errors import EXIT_RETRY, OperatorError
from terminal.language import Text

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """How a slice ended. `is_empty`: nothing waits that can be sent now. `is_cut`: its time was over, and the line is up."""

    is_empty: bool
    is_cut: bool = False


class Sender:
    """Send what waits. `heed` is asked within packs; `monotonic` gives seconds."""

    def __init__(
        self, open_agent: OpenWorking, folder: Path, monotonic: Callable[[], float], heed: Heed = heed_nobody
    ) -> None:
        self._open = open_agent
        self._folder = folder
        self._monotonic = monotonic
        self._heed = heed
        self._patience = Patience()
        self._told: dict[str, set[tuple[str, Stage]]] = {}
        self._last = ""

    def send(self, is_over: Callable[[], bool] = lambda: False) -> Sent:
        """Send until nothing waits, the line is down, or `is_over` says so between two packs. Raises: PinError, ReceiptError.

        Where nothing waits, or all that does is left alone for now, the center is greeted: one that was started anew signs for
        nobody until an agent that has seen as much as any has called, and that may be this one, whose next snapshot is a night away.
        """
        try:
            with self._open(self._folder) as agent:
                waiting = agent.waiting_sources()
                self._told = {name: told for name, told in self._told.items() if name in waiting}
                resting = self._patience.keep({name: agent.resting_mark(name) for name in waiting}, self._monotonic())
                names = self._in_turn([name for name in waiting if name not in resting])
                if names:
                    return self._send_each(agent, names, is_over)
                if not _greet(agent):
                    self._patience.forget()
                return Sent(True)
        except (PinError, ReceiptError):
            raise
        except PausedError as err:
            log.info("spool not sent", extra={"code": err.code, "why": str(err)})
        except OperatorError as err:
            tell_trouble("spool not sent", err)
        return Sent(False)

    def _in_turn(self, names: Sequence[str]) -> Sequence[str]:
        ordered = sorted(names)
        return [name for name in ordered if name > self._last] + [name for name in ordered if name <= self._last]

    def _send_each(self, agent: Working, names: Sequence[str], is_over: Callable[[], bool]) -> Sent:
        is_empty = True
        for name in names:
            self._last = name
            outcomes = agent.send(_Slice(is_over), sources=[name], heed=self._heed)
            self._tell(name, outcomes)
            is_empty = is_empty and all(outcome.stage is not Stage.SPOOLED for outcome in outcomes)
            troubles = [outcome.trouble for outcome in outcomes if outcome.trouble is not None]
            if any(isinstance(trouble, StoppedError) for trouble in troubles):
                return Sent(False, is_cut=True)
            if any(isinstance(trouble, CenterDownError) for trouble in troubles):
                self._patience.forget()
                return Sent(False)  # the others would each wait as long for an answer
            self._patience.note(name, None if troubles else agent.resting_mark(name), self._monotonic())
            if is_over():
                break
        return Sent(is_empty and name == names[-1], is_cut=name != names[-1])

    def _tell(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Log what has become of statements: how far one has come, once."""
        before = self._told.get(name, set())
        self._told[name] = {(outcome.label, outcome.stage) for outcome in outcomes}
        for outcome in outcomes:
            if outcome.trouble is not None and not isinstance(outcome.trouble, StoppedError):
                tell_trouble("spool not sent", outcome.trouble, statement=outcome.label)
            if outcome.stage is not Stage.SPOOLED and (outcome.label, outcome.stage) not in before:
                log.info(
                    "statement sent",
                    extra={
                        "statement": outcome.label, "level": outcome.stage.value, "log_index": outcome.log_index,
                        "sent_bytes": outcome.sent_bytes,
                    },
                )  # fmt: skip


class _Slice:
    """A progress that ends the sending behind the pack with which its time is over."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over

    def begin(self, label: str, total: int | None) -> None:
        """Nothing is read here."""

    def advance(self, rows: int, size_bytes: int) -> None:
        """Nothing is read here."""

    def sent(self, size_bytes: int) -> None:  # noqa: ARG002 - what counts is the time
        """End the slice if it is over. Raises: StoppedError."""
        if self._is_over():
            raise StoppedError(
                Text(zh="发送暂停：别的事更急", en="sending rests: something more urgent is due"),
                hint=Text(zh="随后自动继续", en="it goes on by itself"),
            )


def tell_trouble(event: str, err: OperatorError | OSError, **facts: str) -> None:
    """Log what went wrong: a warning if it may pass by itself, else an error."""
    if isinstance(err, OperatorError):
        level = logging.WARNING if err.exit_code == EXIT_RETRY else logging.ERROR
        log.log(level, event, extra={**facts, "code": err.code, "why": str(err), "hint": err.hint})
    else:
        log.error(event, extra={**facts, "why": err.strerror or str(err)})


def _greet(agent: Working) -> bool:
    """Greet the center; tell whether it could be reached."""
    try:
        agent.greet()
    except CenterDownError as err:
        # Nothing can be sent, so nothing is amiss here: the line may be down at night.
        log.info("center not greeted", extra={"code": err.code, "why": str(err)})
        return False
    return True
