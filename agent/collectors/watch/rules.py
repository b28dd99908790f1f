# SPDX-License-Identifier: Apache-2.0
"""When a source is looked at, and when it counts as changed and settled. Pure: times are arguments, seconds that only grow.

1. A hint (something may have changed) brings the next look forward, never a snapshot.
2. Two looks that see the same, with `settle` between the end of one and the beginning of the other and no hint in
   between, prove that everything stood still: SETTLED, if it is not what the last snapshot saw.
3. What never stands still is OVERDUE `most_wait` after its change was first noticed.
4. Without any hint there is a look every `poll`: hints get lost in overflows and never come from network shares.
5. A look that takes long makes the next one wait: looking takes at most a fifth of the time.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_REST: Final = 4
"""How many times as long as a look took nothing is looked at."""
_MOST_BACKOFF_S: Final = 600.0
_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things must stand still, may keep moving, and stay unseen without a hint. Seconds."""

    settle_s: float = 30.0
    most_wait_s: float = 900.0
    poll_s: float = 60.0


class Verdict(StrEnum):
    """What a look says."""

    NOTHING_NEW = "nothing new"
    MOVING = "moving"
    SETTLED = "settled"
    OVERDUE = "overdue"


class Settling:
    """The rules for one source. `taken` is what the last snapshot saw, as far as it is known. Not thread-safe."""

    def __init__(self, pace: Pace, taken: bytes | None) -> None:
        self._pace = pace
        self._taken = taken
        self._seen: bytes | None = None
        self._still_since = _NEVER
        self._moving_since: float | None = None
        self._hinted_at: float | None = None
        self._is_lost = False
        self._looked_at: float | None = None
        self._rested_at = _NEVER
        self._failures = 0
        self._retry_at = _NEVER

    @property
    def taken(self) -> bytes | None:
        """Give what the last snapshot saw."""
        return self._taken

    def hint(self, at: float) -> None:
        """Take note that something may have changed at `at`."""
        self._hinted_at = at if self._hinted_at is None else max(self._hinted_at, at)
        self._still_since = max(self._still_since, at)

    def lose(self) -> None:
        """Take note that hints were lost: look as soon as can be."""
        self._is_lost = True

    def due(self) -> float:
        """Give when the next look is due."""
        if self._looked_at is None:
            return self._retry_at
        times = [self._looked_at + self._pace.poll_s]
        if self._moving_since is not None:
            times += [self._still_since + self._pace.settle_s, self._moving_since + self._pace.most_wait_s]
        elif self._hinted_at is not None:
            times.append(self._hinted_at)
        if self._is_lost:
            times.append(_NEVER)
        return max(min(times), self._rested_at, self._retry_at)

    def judge(self, seen: bytes, began: float, ended: float) -> Verdict:
        """Judge what a look saw that began and ended at these times."""
        self._looked_at, self._rested_at = ended, ended + _REST * (ended - began)
        self._is_lost = False
        hinted_at = self._hinted_at
        if hinted_at is not None and hinted_at < began:
            self._hinted_at = None  # what came while we looked may be of what we had passed
        if seen != self._seen:
            self._seen, self._still_since = seen, max(self._still_since, ended)
        if seen == self._taken:
            self._moving_since = None
            return Verdict.NOTHING_NEW
        if self._moving_since is None:
            self._moving_since = began if hinted_at is None else min(began, hinted_at)
        if began - self._still_since >= self._pace.settle_s:
            return Verdict.SETTLED
        return Verdict.OVERDUE if began - self._moving_since >= self._pace.most_wait_s else Verdict.MOVING

    def take(self) -> None:
        """Take note that a snapshot was made after the last look: what changed since will be seen by the next."""
        self._taken, self._moving_since = self._seen, None
        self._failures, self._retry_at = 0, _NEVER

    def forget(self) -> None:
        """Take note that what the last snapshot saw must be taken again."""
        self._taken = None

    def fail(self, at: float) -> None:
        """Take note that a look or a snapshot failed: wait twice as long each time, ten minutes at most."""
        wait_s = min(self._pace.poll_s * 2**self._failures, max(self._pace.poll_s, _MOST_BACKOFF_S))
        self._failures = min(self._failures + 1, 30)
        self._retry_at = at + wait_s
