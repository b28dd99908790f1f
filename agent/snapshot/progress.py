# SPDX-License-Identifier: Apache-2.0
"""Whom a run tells how far it has come. Nothing depends on the answer. No I/O."""

from typing import Protocol


class Progress(Protocol):
    """Be told of reading and sending. `sent` may come from another thread."""

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
