# SPDX-License-Identifier: Apache-2.0
"""The word that ends the daemon: from a signal, or from whoever runs it as a service. Thread-safe."""

import signal
import threading
import time
from types import FrameType
from typing import Protocol


class Stop(Protocol):
    """What the daemon waits with; a `threading.Event` is one. A test's own wait passes time instead of sleeping."""

    def wait(self, seconds: float, /) -> bool:
        """Wait so many seconds, or until told to stop; tell whether that was said."""

    def is_set(self) -> bool:
        """Tell whether the daemon shall stop; asked between blocks and packs."""


class Stopping:
    """A `Stop` that somebody else sets: a signal's handler, a service manager's thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Tell the daemon to stop: it ends within seconds. May be said from any thread, and more than once."""
        self._event.set()

    def is_set(self) -> bool:
        """Tell whether it was told to stop."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so many seconds, or until told to stop."""
        # In slices: on Windows a signal is not seen before a wait ends.
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            if self._event.wait(min(rest, 1.0)):
                return True
        return self._event.is_set()


def stop_on_signals() -> Stopping:
    """Give a `Stop` that SIGTERM or Ctrl-C sets; from now on they do nothing else."""
    stopping = Stopping()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping
