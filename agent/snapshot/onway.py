# SPDX-License-Identifier: Apache-2.0
"""What of a source travels by another road than the line, as the run of a source sees it. Who writes media keeps it."""

from collections.abc import Sequence, Set
from typing import Protocol

from evidence.digest import Sha256


class OnWay(Protocol):
    """The media of one source. Asked anew for each act: a receipt may have come, or the time be up."""

    def holds(self) -> bool:
        """Tell whether media with this source's packs are awaited at the center: then no packs travel by the line."""

    def arrived(self) -> Sequence[str]:
        """Give the names of packs that came to the center on media, and may leave the spool."""

    def packs(self) -> Set[str]:
        """Give the names of packs on media that are awaited: a medium that is spoilt is written again from them."""

    def statements(self) -> Set[Sha256]:
        """Give the digests of statements whose content is on media that are awaited."""


class NothingOnWay:
    """Of a source without media."""

    def holds(self) -> bool:
        """Hold nothing."""
        return False

    def arrived(self) -> Sequence[str]:
        """Give nothing."""
        return ()

    def packs(self) -> Set[str]:
        """Give nothing."""
        return frozenset()

    def statements(self) -> Set[Sha256]:
        """Give nothing."""
        return frozenset()
