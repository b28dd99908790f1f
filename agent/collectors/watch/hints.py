# SPDX-License-Identifier: Apache-2.0
"""What the system says of changes, reduced to "when last", so that no queue of ours can overflow.

Nothing rests on a hint: it may come too often, late, or never (the queue of the system overflowed, the change was made on
another machine of a network share, there are more folders than the system watches). The events come through `watchdog`,
in threads of its own; without it, or where the system refuses, there are no hints, and looks at intervals do the work.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from agent.collectors.watch.looking import Look

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent

_TELLING: Final = frozenset({"created", "modified", "moved", "deleted", "closed", "attrib"})
"""Not `opened` and `closed_no_write`, which our own reading brings about."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard since the last time: when the newest hint came, and whether some may be lost."""

    last: float | None = None
    is_lost: bool = False


class Hints(Protocol):
    """A source of hints. `take` may be called from another thread than they come from."""

    def take(self) -> Heard:
        """Give what was heard since the last call."""

    def close(self) -> None:
        """Stop listening."""


class NoHints:
    """Hear nothing."""

    def take(self) -> Heard:
        """Give nothing."""
        return Heard()

    def close(self) -> None:
        """Do nothing."""


class SystemHints:
    """Hear the system's events of what a look looks at."""

    def __init__(self, look: Look, clock: Callable[[], float]) -> None:
        """Begin to listen. Raises: OSError if the system refuses, ImportError without `watchdog`."""
        from watchdog.events import FileSystemEventHandler
        from watchdog.observers import Observer

        handler = FileSystemEventHandler()
        handler.on_any_event = self._hear  # type: ignore[method-assign]  # a handler is a class with this one method
        self._concerns = look.concerns
        self._clock = clock
        self._lock = threading.Lock()
        self._last: float | None = None
        self._observer = Observer()
        self._observer.schedule(handler, str(look.folder), recursive=look.is_deep)
        self._observer.start()

    def take(self) -> Heard:
        """Give what was heard; lost is what came after a thread of `watchdog` has died."""
        with self._lock:
            last, self._last = self._last, None
        threads = [self._observer, *self._observer.emitters]
        return Heard(last, is_lost=not all(thread.is_alive() for thread in threads))

    def close(self) -> None:
        """Stop listening."""
        self._observer.stop()
        self._observer.join(10.0)

    def _hear(self, event: "FileSystemEvent") -> None:
        # That a folder's list of names changed is told by the names themselves, as far as they count.
        if event.event_type not in _TELLING or (event.is_directory and event.event_type == "modified"):
            return
        paths = [os.fsencode(path) for path in (event.src_path, event.dest_path) if path]
        if any(self._concerns(path, is_folder=event.is_directory) for path in paths):
            with self._lock:
                self._last = self._clock()
