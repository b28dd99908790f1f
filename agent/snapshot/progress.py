# SPDX-License-Identifier: Apache-2.0
"""Whom a run tells how far it has come, and whom it asks when it may go on. No I/O."""

from collections.abc import Callable
from typing import Protocol

Pace = Callable[[int], None]
"""Told of the bytes of each block that was read; returns when the source may be asked for the next. May raise AgentError."""


def unpaced(size_bytes: int) -> None:
    """Read as fast as it goes."""


Heed = Callable[[], None]
"""Asked between blocks and within packs whether to go on; raises AgentError to end what is being done."""


def heed_nobody() -> None:
    """Go on."""


class Progress(Protocol):
    """Be told of reading and sending; nothing depends on the answer. `sent` may come from another thread.

    `sent` may raise AgentError where nothing is being read: the sending ends there, and what was sent stays so.
    """

    def begin(self, label: str, total: int | None) -> None:
        """A table of about `total` rows begins."""

    def advance(self, rows: int, size_bytes: int) -> None:
        """So many more rows and bytes have passed."""

    def sent(self, size_bytes: int) -> None:
        """The center has acknowledged so many more bytes."""


class Silent:
    """Tell nobody."""

    def begin(self, label: str, total: int | None) -> None:
        """Do nothing."""

    def advance(self, rows: int, size_bytes: int) -> None:
        """Do nothing."""

    def sent(self, size_bytes: int) -> None:
        """Do nothing."""
