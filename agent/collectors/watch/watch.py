# SPDX-License-Identifier: Apache-2.0
"""One watched source: hints and looks go into the rules, out comes that a snapshot is due. One thread.

What the last snapshot saw is kept in a file of a line, so that a start makes no snapshot of what has not changed, and a
change that was made while nobody watched is found by the first look. Whoever finds that what was taken came to nothing
removes that file, also while it is watched: then it is taken again.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.collectors.watch.hints import Hints, NoHints
from agent.collectors.watch.looking import Look, Seen
from agent.collectors.watch.rules import Pace, Settling, Verdict
from agent.errors import SourceError
from evidence.disk import write_over
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class Ready:
    """A snapshot is due. `remark`: what its manifest must say, one line, or ""."""

    remark: str


class SourceWatch:
    """Watch one source.

    `listen` begins to listen and raises OSError or ImportError where that cannot be; `memory` is the file that keeps
    what the last snapshot saw; `is_consistent`: a snapshot is one state also while the source moves.
    """

    def __init__(
        self, name: str, look: Look, pace: Pace, memory: Path, listen: Callable[[Look], Hints],
        clock: Callable[[], float], *, is_consistent: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self._look = look
        self._pace = pace
        self._memory = memory
        self._listen = listen
        self._clock = clock
        self._is_consistent = is_consistent
        self._settling = Settling(pace, _read_memory(memory))
        self._is_kept = self._settling.taken is not None
        self._hints: Hints = NoHints()
        self._place: tuple[int, int] | None = None
        self.deafness: str | None = None
        """Why no events of the system are heard, in one line; None while they are."""
        self.is_seen = True
        """Whether the last look found the source, and no empty folder in its place."""

    def due_in(self) -> float:
        """Give in how many seconds `step` has something to do, if no hint comes before."""
        return max(0.0, self._settling.due() - self._clock())

    def step(self) -> Ready | None:
        """Take in hints and look, if a look is due; say so if a snapshot is due now.

        Raises: SourceError if the source cannot be looked at, or an empty folder stands in its place.
        """
        is_deaf = self._hear()
        began = self._clock()
        if began < self._settling.due():
            return None
        if is_deaf:
            self._deafen("the threads that listen have ended")
        if self._is_kept and not self._memory.exists():
            self._is_kept = False
            self._settling.forget()
        self.is_seen = False
        seen = self._look.look()
        self._hear()
        self._arrive(seen)
        self.is_seen = True
        verdict = self._settling.judge(seen.digest, began, self._clock())
        if verdict is Verdict.SETTLED:
            return Ready("")
        return Ready(self._remark()) if verdict is Verdict.OVERDUE else None

    def take(self) -> None:
        """Take note that a snapshot was made. Raises: OSError if that cannot be kept."""
        self._settling.take()
        self._is_kept = False
        assert self._settling.taken is not None
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        write_over(self._memory, self._settling.taken.hex().encode() + b"\n")
        self._is_kept = True

    def fail(self) -> None:
        """Take note that looking or the snapshot failed: wait before the next try."""
        self._settling.fail(self._clock())

    def close(self) -> None:
        """Stop listening."""
        self._hints.close()

    def _hear(self) -> bool:
        """Take in what was heard; tell whether nothing more will be."""
        heard = self._hints.take()
        if heard.last is not None:
            self._settling.hint(heard.last)
        if heard.is_lost:
            self._settling.lose()
        return heard.is_lost

    def _arrive(self, seen: Seen) -> None:
        """Listen to the folder that is there now. Raises: SourceError if it is empty and was another one before."""
        if seen.place == self._place:
            return
        if seen.is_empty and self._place is not None:
            raise SourceError(
                Text(
                    zh=f"目录 {self._look.folder} 是空的，且不是原来的那个",
                    en=f"the folder {self._look.folder} is empty, and not the one that was there before",
                ),
                hint=Text(
                    zh="看卷是否已挂载；若本该如此，手工运行 `jinsuo-agent snapshot`",
                    en="see whether the volume is mounted; if this is meant, run `jinsuo-agent snapshot` by hand",
                ),
            )
        self._hints.close()
        self._hints, self.deafness, self._place = NoHints(), None, seen.place
        try:
            self._hints = self._listen(self._look)
        except (OSError, ImportError) as err:
            self._deafen(os.strerror(err.errno) if isinstance(err, OSError) and err.errno else str(err))

    def _deafen(self, why: str) -> None:
        self._hints.close()
        self._hints, self.deafness = NoHints(), " ".join(why.split())

    def _remark(self) -> str:
        if self._is_consistent:
            return ""
        return (
            f"taken before the source stood still: it kept changing for {self._pace.most_wait_s:g} s (most_wait); "
            "files that were being written may not be whole"
        )


def _read_memory(path: Path) -> bytes | None:
    """Give what was kept, or None: what is not there or damaged costs one snapshot more."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None
