# SPDX-License-Identifier: Apache-2.0
"""A line that delays, breaks and flips bits on command, and counts what agents send."""

import threading
from collections import deque
from collections.abc import Iterator

from tests.builders.world import Line, shut

_PATIENCE_S = 3.0


class FaultyLine(Line):
    """A relay whose faults are set while it runs.

    Attributes: `delay_s`, how long each block waits; `cuts`, at which counts of bytes sent by agents every connection
    breaks, each once, ascending; `flips`, at which one bit of what agents send is another, each once, ascending;
    `answer_flips`, likewise counted in bytes of answers; `thawed`, cleared while nothing moves and nobody is told.
    `received` counts answers. `hits` says how many faults came to pass.
    """

    def __init__(self, target: int = 0) -> None:
        self.delay_s = 0.0
        self.cuts: deque[int] = deque()
        self.flips: deque[int] = deque()
        self.answer_flips: deque[int] = deque()
        self.thawed = threading.Event()
        self.thawed.set()
        self.received = 0
        self.hits = 0
        super().__init__(target)

    def heal(self) -> None:
        """Set no more faults."""
        self.delay_s = 0.0
        self.thawed.set()
        for faults in (self.cuts, self.flips, self.answer_flips):
            faults.clear()

    def carry(self, data: bytes, is_sent: bool) -> Iterator[bytes]:
        self.thawed.wait()
        if self.delay_s:
            threading.Event().wait(self.delay_s)
        with self._lock:
            before = self.sent if is_sent else self.received
            data = self._flip(data, before, self.flips if is_sent else self.answer_flips)
            cut = self.cuts.popleft() - before if is_sent and self.cuts and self.cuts[0] < before + len(data) else None
            passed = data if cut is None else data[: max(0, cut)]
            if is_sent:
                self.sent += len(passed)
            else:
                self.received += len(passed)
        yield passed
        if cut is not None:
            self.hits += 1
            self.cut()
            raise ConnectionAbortedError("cut on command")

    def _flip(self, data: bytes, before: int, flips: deque[int]) -> bytes:
        while flips and flips[0] < before + len(data):
            at = max(0, flips.popleft() - before)
            data = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
            self.hits += 1
            self._give_up_later()
        return data

    def _give_up_later(self) -> None:
        """Break, after a while, the connections that stand now: a bit in a length makes an end wait for bytes that never come.

        In life the time limit of an answer ends that; a test need not wait so long.
        """
        doomed = list(self._open)
        timer = threading.Timer(_PATIENCE_S, lambda: [shut(end) for end in doomed])
        timer.daemon = True
        timer.start()
