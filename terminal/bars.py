# SPDX-License-Identifier: Apache-2.0
"""Bars drawn by rich. Imported only when a bar is shown on a terminal: rich costs 60 ms at every start.

All bars of one moment stand in one display, because rich allows one; the display goes when its last bar ends.
Thread-safe, as rich's display is.
"""

from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text as RichText

from terminal.language import Text
from terminal.progress import Measure


class _Counted(ProgressColumn):
    """How much is done, of how much, how fast; in sizes or in numbers, as the bar counts."""

    def __init__(self, format_size: Callable[[int], str]) -> None:
        super().__init__()
        self._format_size = format_size

    def render(self, task: Task) -> RichText:
        show = self._format_size if task.fields["measure"] is Measure.BYTES else "{:,}".format
        total = "" if task.total is None else f" / {show(int(task.total))}"
        speed = "" if not task.speed else f"  {show(int(task.speed))}/s"
        return RichText(f"{show(int(task.completed))}{total}{speed}")


class Display:
    """The bars of one moment."""

    def __init__(self, err: TextIO, words: Callable[[str | Text], str], format_size: Callable[[int], str]) -> None:
        self._words = words
        self._drawn = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _Counted(format_size),
            TimeElapsedColumn(),
            console=Console(file=err),
            transient=True,
        )
        self._drawn.start()

    def add(self, label: str | Text, total: int | None, measure: Measure) -> "DrawnBar":
        """Show one more bar."""
        return DrawnBar(
            self._drawn, self._drawn.add_task(self._words(label), total=total, measure=measure), self._words
        )

    def remove(self, bar: "DrawnBar") -> bool:
        """Take a bar away; tell whether it was the last, so that the display is gone too."""
        self._drawn.remove_task(bar.task)
        if self._drawn.tasks:
            return False
        self._drawn.stop()
        return True


class DrawnBar:
    """One bar on the terminal."""

    def __init__(self, drawn: Progress, task: TaskID, words: Callable[[str | Text], str]) -> None:
        self.task = task
        self._drawn = drawn
        self._words = words

    def advance(self, amount: int = 1) -> None:
        """Show `amount` more as done."""
        self._drawn.advance(self.task, amount)

    def restart(self, label: str | Text, total: int | None) -> None:
        """Begin the next stage on the same line."""
        self._drawn.reset(self.task, total=total, description=self._words(label))
