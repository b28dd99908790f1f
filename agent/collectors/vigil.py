# SPDX-License-Identifier: Apache-2.0
"""How long a session waits for an answer of its server: as long as the server works, and not for one that stands still.

A server that sorts for an hour says as little as one that is frozen, or that a network has swallowed. What tells them apart is
whether it answers somebody else: so when a session has waited for `patience_s`, a thread asks the server anew, and again after
each `patience_s` more. No answer ends the wait: the session's line is cut, and who waits gets an error. So does the
end of the time that any session may have (`limit_s` since it began), for a single session may be stuck in a server that works.
Knows no driver. Source: decision 0089.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE_S: Final = 10.0
"""After so long it is asked whether the server answers; and so long it has for that. As a look of the lookout (decision 0085)."""

SLACK_S: Final = 600.0
"""How much older than a view may get a session may be: it is opened before the view's age counts, and reads catalogs."""

_LOOK_S: Final = 1.0


class Vigil:
    """Watch over the waits of one session, in a thread that begins with the first of them; `close` it.

    `answers` tells whether the server answers anybody, within `PATIENCE_S`, and does not raise; `cut` ends the session's wait from
    another thread. Attribute: `why`, in words, if it was cut. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        answers: Callable[[], bool],
        cut: Callable[[], object],
        *,
        limit_s: float,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.why: str | None = None
        self._answers = answers
        self._cut = cut
        self._limit_s = limit_s
        self._patience_s = patience_s
        self._clock = clock
        self._began = clock()
        self._since: float | None = None
        self._is_asking = False
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for an answer of the server within the context. One thread at a time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vigil", daemon=True)
            self._thread.start()
        self._since = self._clock()
        try:
            yield
        finally:
            # Under the lock: who is about to cut must not hit the next wait.
            with self._lock:
                self._since = None

    def close(self) -> None:
        """Watch no more; returns when nobody does, unless the server is just being asked."""
        self._is_closing.set()
        if self._thread is not None and not self._is_asking:
            self._thread.join()

    def _run(self) -> None:
        answered = self._began
        while not self._is_closing.wait(min(_LOOK_S, self._patience_s)):
            since, now = self._since, self._clock()
            if since is None:
                continue
            if now - self._began >= self._limit_s:
                self._end(
                    since, f"no answer for {now - since:.0f} s, and the session was {now - self._began:.0f} s old"
                )
            elif now - max(since, answered) >= self._patience_s:
                if self._ask():
                    answered = self._clock()
                else:
                    self._end(since, f"no answer for {self._clock() - since:.0f} s, and none to a new session either")

    def _ask(self) -> bool:
        self._is_asking = True
        try:
            return self._answers()
        finally:
            self._is_asking = False

    def _end(self, since: float, why: str) -> None:
        with self._lock:
            if self._since == since:
                self.why = why
                self._cut()
