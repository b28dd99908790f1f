# SPDX-License-Identifier: Apache-2.0
"""What a daemon tells systemd: that it is ready, that it lives, that it is stopping. Nothing where nobody listens.

    READY=1 · WATCHDOG=1 · STOPPING=1 · STATUS=…      one datagram each, to the socket that NOTIFY_SOCKET names

`Notifier` speaks; `Heart` beats from a thread of its own as long as `is_alive` says so, so that a daemon that hangs, in
whatever call, falls silent and is started anew. Invariant: no trouble of the socket ends the daemon; whom systemd does
not hear, it restarts. Source: sd_notify(3), systemd.service(5) `WatchdogSec`.
"""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

BEATS_PER_LIMIT = 3
"""systemd advises two; one of three may come late on a busy machine."""


class Notifier:
    """Speak to the service manager. Thread-safe. Attribute: `watchdog_s`, within which it wants a beat, or None."""

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        """`address`: a path, or `@` and the name of an abstract socket; None: nobody listens."""
        self._address = address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int | None = None) -> "Notifier":
        """Make it from the service's environment; the limit counts only for the process that it names."""
        address = environ.get("NOTIFY_SOCKET") or None
        named = environ.get("WATCHDOG_PID")
        micros = environ.get("WATCHDOG_USEC", "")
        is_ours = named in (None, str(os.getpid() if pid is None else pid))
        limit = int(micros) / 1e6 if is_ours and micros.isascii() and micros.isdigit() and int(micros) else None
        return cls(address, limit)

    def ready(self, status: str) -> None:
        """Say that the service does its work from now on."""
        self._send(f"READY=1\nSTATUS={status}")

    def beat(self) -> None:
        """Say that the service lives."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service is coming to its end."""
        self._send("STOPPING=1")

    def _send(self, words: str) -> None:
        if self._address is None:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.settimeout(1.0)
            line.sendto(words.encode(), name)


class Heart:
    """Beat while `is_alive` says so, from `begin` to `end`.

    `wait` sleeps so many seconds and tells whether to stop; by default until `end`.
    """

    def __init__(
        self, notifier: Notifier, is_alive: Callable[[], bool], wait: Callable[[float], bool] | None = None
    ) -> None:
        self._notifier = notifier
        self._is_alive = is_alive
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._thread: threading.Thread | None = None

    def begin(self, status: str) -> None:
        """Say that the service is ready, and beat from now on."""
        self._notifier.ready(status)
        if self._notifier.watchdog_s is not None and self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="heart", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Say that the service is stopping; beat no more. May be repeated."""
        self._notifier.stopping()
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5)

    def _go_on(self) -> None:
        assert self._notifier.watchdog_s is not None
        pause_s = self._notifier.watchdog_s / BEATS_PER_LIMIT
        while True:
            if self._is_alive():
                self._notifier.beat()
            if self._wait(pause_s):
                return
