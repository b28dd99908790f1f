# SPDX-License-Identifier: Apache-2.0
"""How long work tells its progress: stages with bars, or silence. Knows no terminal; `terminal.printer` draws.

Whoever works takes a `Progress` and opens one stage after another. Invariant: nothing depends on the bar's answer.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Protocol

from terminal.language import Text


class Measure(StrEnum):
    """What a bar counts."""

    ITEMS = "items"
    BYTES = "bytes"


class Bar(Protocol):
    """One stage under way. Call from one thread at a time; cheap enough for every block, not for every row."""

    def advance(self, amount: int = 1) -> None:
        """Say that `amount` more is done."""

    def restart(self, label: str | Text, total: int | None) -> None:
        """Begin the next stage on the same line, at nothing done; `total` None: unknown."""


class Progress(Protocol):
    """Open stages. `terminal.printer.Printer` is one; `SILENT` is another."""

    def progress(
        self, label: str | Text, total: int | None = None, measure: Measure = Measure.ITEMS
    ) -> AbstractContextManager[Bar]:
        """Show a bar until the context ends; `total` None: unknown."""


class SilentBar:
    """A bar that nobody sees."""

    def advance(self, amount: int = 1) -> None:
        """Do nothing."""

    def restart(self, label: str | Text, total: int | None) -> None:
        """Do nothing."""


class SilentProgress:
    """Progress that nobody sees: for daemons, pipes and tests."""

    @contextmanager
    def progress(
        self,
        label: str | Text,  # noqa: ARG002 - the protocol's name
        total: int | None = None,  # noqa: ARG002
        measure: Measure = Measure.ITEMS,  # noqa: ARG002
    ) -> Iterator[Bar]:
        """Give a bar that shows nothing."""
        yield SilentBar()


SILENT: Progress = SilentProgress()
