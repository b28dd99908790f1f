# SPDX-License-Identifier: Apache-2.0
"""How long a command may run, and how long without a sign of life. Knows the clock that it is given, nothing else."""

from collections.abc import Callable

from agent.errors import BudgetError
from terminal.language import Text


class Patience:
    """Watch one run of one command. `clock` gives seconds that only grow."""

    def __init__(self, program: str, timeout_s: float, stall_s: float, clock: Callable[[], float]) -> None:
        self._program = program
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._clock = clock
        self._began = self._moved = clock()
        self._seen: object = None

    def rest(self) -> None:
        """Begin to wait anew: until now it was the command that waited, for us."""
        self._moved = self._clock()

    def look(self, signs: object) -> None:
        """Take note of the command's signs of life; they count if they differ from those of the last look.

        Raises: BudgetError if the whole has taken too long, or nothing has moved for too long.
        """
        self.check_whole()
        now = self._clock()
        if signs != self._seen:
            self._seen, self._moved = signs, now
        if now - self._moved >= self._stall_s:
            raise BudgetError(
                Text(
                    zh=f"{self._program} 已有 {self._stall_s:g} 秒没有一个字节，已终止",
                    en=f"{self._program} gave no byte for {self._stall_s:g} s and was stopped",
                ),
                hint=Text(
                    zh="看它是否在等锁、口令或磁盘；若确实这么慢，调大 stall_timeout",
                    en="see whether it waits for a lock, a password or a disk; raise `stall_timeout` if it is that slow",
                ),
            )

    def check_whole(self) -> None:
        """Raises: BudgetError if the whole has taken too long."""
        if self._clock() - self._began >= self._timeout_s:
            raise BudgetError(
                Text(
                    zh=f"{self._program} 在 {self._timeout_s:g} 秒内没有结束，已终止",
                    en=f"{self._program} did not end within {self._timeout_s:g} s and was stopped",
                ),
                hint=Text(zh="换一个清闲的时段，或调大 timeout", en="run it at a quieter hour, or raise `timeout`"),
            )
