# SPDX-License-Identifier: Apache-2.0
"""How long the source takes to answer a trifle: before a run, and while it is being read.

`Latency` is the rule, without clock or thread: the 95th percentile of the newest answers against that of those before
the run. `Prober` asks, every second, in a thread of its own. A question that fails counts for nothing: what is wrong with the
source is told by who reads it.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from agent.errors import AgentError

BASE_QUESTIONS: Final = 20
"""How often the source is asked before the run."""

EVERY_S: Final = 1.0
_WINDOW: Final = 20
_LEAST_ANSWERS: Final = 5
_LEAST_S: Final = 0.05
"""Below this nobody waits, whatever the ratio; our own threads delay a measurement by some milliseconds."""


class Latency:
    """The rule. `times`: how many times what it was counts as high; None: never. Thread-safe: one appends, one reads."""

    def __init__(self, times: float | None) -> None:
        self._times = times
        self._newest: deque[float] = deque(maxlen=_WINDOW)
        self.before_s: float | None = None
        self.worst_s: float | None = None

    def set_before(self, answers: list[float]) -> None:
        """Take note of how long answers took before the run."""
        self.before_s = percentile(answers, 95) if answers else None

    def add(self, answer_s: float) -> None:
        """Take note of an answer while the source is read."""
        self._newest.append(answer_s)
        if len(self._newest) >= _LEAST_ANSWERS:
            self.worst_s = max(self.worst_s or 0.0, percentile(list(self._newest), 95))

    def is_high(self) -> bool:
        """Tell whether the source answers so much more slowly than before that reading should slow down."""
        answers = list(self._newest)
        if self._times is None or self.before_s is None or len(answers) < _LEAST_ANSWERS:
            return False
        return percentile(answers, 95) > max(_LEAST_S, self._times * self.before_s)


class Prober:
    """Ask the source again and again until closed. `probe` is used by one thread at a time."""

    def __init__(self, probe: Callable[[], None], latency: Latency, clock: Callable[[], float]) -> None:
        self._probe = probe
        self._latency = latency
        self._clock = clock
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def ask_before(self) -> None:
        """Ask some times, one after another, before the run."""
        answers = [answer for _ in range(BASE_QUESTIONS) if (answer := self._ask()) is not None]
        self._latency.set_before(answers)

    def ask(self) -> None:
        """Ask once."""
        answer = self._ask()
        if answer is not None:
            self._latency.add(answer)

    def start(self) -> None:
        """Go on asking."""
        self._thread.start()

    def close(self) -> None:
        """Stop asking; returns when nobody uses the probe any more."""
        self._is_closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closing.wait(EVERY_S):
            self.ask()

    def _ask(self) -> float | None:
        began = self._clock()
        try:
            self._probe()
        except AgentError:
            return None
        return self._clock() - began


def percentile(values: list[float], percent: int) -> float:
    """Give the smallest value that `percent` of the values do not exceed (nearest rank); of at least one value.

    >>> percentile([3.0, 1.0, 2.0], 50), percentile([1.0] * 19 + [9.0], 95), percentile([5.0], 95)
    (2.0, 1.0, 5.0)
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
