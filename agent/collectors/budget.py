# SPDX-License-Identifier: Apache-2.0
"""How old a view may get: as long as it stands open, the live system keeps for it what it would clear away.

Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Callable
from typing import Final

from agent.errors import BudgetError

OLD_VERSIONS: Final = "read at a quieter hour or from a replica, or raise snapshot_age_limit: the server keeps old versions of rows for so long"
"""The hint where a view costs the server no more than that."""


class Budget:
    """The age of one view, from now on. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], limit_s: float, *, what: str = "snapshot", hint: str) -> None:
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
            raise BudgetError(
                f"the {self._what} was {self._limit_s - left_s:.0f} s old at {where}, over its limit of {self._limit_s:.0f} s",
                hint=self._hint,
            )
