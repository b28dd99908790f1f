# SPDX-License-Identifier: Apache-2.0
"""What bounds a view: the snapshot's age, for it keeps the cluster's vacuum from cleaning up.

Source: lessons.md, "Dangers to the live database".
"""

from collections.abc import Callable

from agent.errors import BudgetError


class Budget:
    """How old the snapshot may get. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], limit_s: float) -> None:
        self._clock = clock
        self._began = clock()
        self._limit_s = limit_s

    def left_s(self) -> float:
        """Give how much longer the snapshot may be held; negative if it should be gone."""
        return self._limit_s - (self._clock() - self._began)

    def check(self, table: str) -> None:
        """Raises: BudgetError if the snapshot is too old; `table` is what was to be read."""
        if self.left_s() <= 0:
            raise BudgetError(
                f"the snapshot was {self._limit_s - self.left_s():.0f} s old at table {table}, over its limit of "
                f"{self._limit_s:.0f} s",
                hint="read at a quieter hour or from a standby, or raise snapshot_age_limit_s: "
                "vacuum cleans nothing up for so long",
            )
