# SPDX-License-Identifier: Apache-2.0
"""How long a source is left alone for which the center has all that can be given now. Pure: the time is an argument.

What is awaited comes by another road, on a medium for weeks: each question finds the same. So the pause between two doubles,
from a minute to an hour, and is over at once when anything about the source changes. In memory: a start begins anew.
Source: decision 0084.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 60.0
MOST_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class _Rest:
    mark: Hashable
    pause_s: float
    until_s: float


class Patience:
    """The sources that rest. A source's mark changes with whatever befalls it; without one it does not rest."""

    def __init__(self) -> None:
        self._rests: dict[str, _Rest] = {}

    def keep(self, marks: Mapping[str, Hashable], now_s: float) -> set[str]:
        """Give the sources that are still left alone at `now_s`; forget those whose mark is another, or gone."""
        self._rests = {name: rest for name, rest in self._rests.items() if marks.get(name) == rest.mark}
        return {name for name, rest in self._rests.items() if now_s < rest.until_s}

    def note(self, name: str, mark: Hashable, now_s: float) -> None:
        """Take note that the center was asked about a source, and that this is its mark since; None: it does not rest."""
        known = self._rests.pop(name, None)
        if mark is not None:
            is_same = known is not None and known.mark == mark
            pause_s = min(2 * known.pause_s, MOST_S) if known is not None and is_same else FIRST_S
            self._rests[name] = _Rest(mark, pause_s, now_s + pause_s)

    def forget(self) -> None:
        """Leave nothing alone: the line was down, and much may have come about meanwhile."""
        self._rests.clear()
