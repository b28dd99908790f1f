# SPDX-License-Identifier: Apache-2.0
"""How old a view may get: as long as it stands open, the live system keeps for it what it would clear away.

Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Callable
from typing import Final

from agent.errors import BudgetError
from terminal.language import Text

OLD_VERSIONS: Final = Text(
    zh="在空闲时段读取，或读副本，或调大 snapshot_age_limit：这段时间里服务器要保留各行的旧版本",
    en="read at a quieter hour or from a replica, or raise snapshot_age_limit: the server keeps old versions of rows for so long",
)
"""The hint where a view costs the server no more than that."""
SNAPSHOT: Final = Text(zh="快照", en="snapshot")
VIEW: Final = Text(zh="视图", en="view")


class Budget:
    """The age of one view, from now on. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], limit_s: float, *, what: Text = SNAPSHOT, hint: Text) -> None:
        """`what` is open; `hint`: where or when it would be shorter, and what its length costs."""
        self._clock = clock
        self._began = clock()
        self._limit_s = limit_s
        self._what = what
        self._hint = hint

    def left_s(self) -> float:
        """Give how much longer the view may be open; negative if it should be gone."""
        return self._limit_s - (self._clock() - self._began)

    def check(self, where: str) -> None:
        """Raises: BudgetError if the view is too old; `where` says what was to be read."""
        left_s = self.left_s()
        if left_s <= 0:
            age, limit = f"{self._limit_s - left_s:.0f}", f"{self._limit_s:.0f}"
            raise BudgetError(
                Text(
                    zh=f"读到 {where} 时，{self._what.zh}已打开 {age} 秒，超过上限 {limit} 秒",
                    en=f"the {self._what.en} was {age} s old at {where}, over its limit of {limit} s",
                ),
                hint=self._hint,
            )
