# SPDX-License-Identifier: Apache-2.0
"""What a command prints: sentences and tables for people, one JSON document for machines, bars on a terminal.

People read stdout in their language and local time; machines read UTF-8 JSON with UTC times and nothing else on stdout.
Warnings, errors and bars go to stderr. Invariant: in JSON mode nothing but `result`, `record` and `refuse` writes to
stdout; nothing that comes from data can move the cursor, colour or reorder a terminal: such characters are shown as
escapes. `rich` is imported only when a bar is drawn on a terminal: it costs 60 ms at every start. Not thread-safe.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, TextIO

from terminal.errors import OperatorError
from terminal.language import Language, Text
from terminal.progress import Bar, Measure, SilentBar

if TYPE_CHECKING:
    from terminal.bars import Display

Cell = str | Text | int | float | datetime | None
_HINT = Text(zh="怎么办：", en="What to do: ")
_WARNING = Text(zh="注意：", en="Note: ")
_ERROR = Text(zh="错误 ", en="Error ")
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Printer:
    """Print for a person in `language`, or for a machine if `json_mode`."""

    def __init__(
        self, language: Language, json_mode: bool = False, out: TextIO | None = None, err: TextIO | None = None
    ) -> None:
        self.language = language
        self.json_mode = json_mode
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._documents = 0
        self._records = 0
        self._display: Display | None = None

    def say(self, text: str | Text = "") -> None:
        """Print a line for a person; nothing in JSON mode."""
        if not self.json_mode:
            self._out.write(make_visible(self.words(text)) + "\n")

    def warn(self, text: str | Text) -> None:
        """Print a line that a person should heed, to stderr, in either mode."""
        self._err.write(_WARNING.into(self.language) + make_visible(self.words(text)) + "\n")

    def table(self, headers: Sequence[str | Text], rows: Sequence[Sequence[Cell]]) -> None:
        """Print an aligned table for a person (numbers to the right, wide characters counted); nothing in JSON mode."""
        if self.json_mode:
            return
        cells = [[self.cell(header) for header in headers]] + [[self.cell(value) for value in row] for row in rows]
        right = [
            bool(rows) and all(isinstance(row[column], (int, float)) or row[column] is None for row in rows)
            for column in range(len(headers))
        ]
        widths = [max(display_width(row[column]) for row in cells) for column in range(len(headers))]
        for row in cells:
            padded = [_pad(text, width, to) for text, width, to in zip(row, widths, right, strict=True)]
            self._out.write("  ".join(padded).rstrip() + "\n")

    def result(self, document: Mapping[str, object]) -> None:
        """Print the command's one JSON document; nothing for people. Times become UTC, enums and paths text."""
        assert not (self._documents or self._records), "one document a command"
        self._documents += 1
        self._write_json(document, indent=2)

    def record(self, document: Mapping[str, object]) -> None:
        """Print one JSON line of a command that streams lines; nothing for people."""
        assert not self._documents, "a command gives one document or lines, not both"
        self._records += 1
        self._write_json(document, indent=None)

    def complain(self, err: OperatorError) -> None:
        """Print an error to stderr: one sentence with its code, and what to do. The command goes on."""
        self._err.write(f"{_ERROR.into(self.language)}{err.code}: {make_visible(err.sentence(self.language))}\n")
        advice = err.advice(self.language)
        if advice:
            self._err.write(f"{_HINT.into(self.language)}{make_visible(advice)}\n")

    def refuse(self, err: OperatorError) -> None:
        """Print the error that ends a command: to stderr, and as JSON unless a document stands there already."""
        self.complain(err)
        if not self._documents:
            self._write_json({"error": self.describe(err)}, indent=None if self._records else 2)
            self._documents += 1

    def describe(self, err: OperatorError) -> dict[str, object]:
        """Give an error as JSON has it."""
        return {"code": err.code, "message": err.sentence(self.language), "hint": err.advice(self.language)}

    def close(self, exit_code: int) -> None:
        """Flush; in JSON mode a command that had nothing to say still gives a document."""
        if self.json_mode and not (self._documents or self._records):
            self.result({"exit_code": exit_code})
        self._out.flush()

    @contextmanager
    def progress(self, label: str | Text, total: int | None = None, measure: Measure = Measure.ITEMS) -> Iterator[Bar]:
        """Show a bar on stderr until the context ends, if stderr is a terminal and a person reads; else silence.

        Contexts may be nested: the bars stand below each other.
        """
        if self.json_mode or not self._err.isatty():
            yield SilentBar()
            return
        if self._display is None:
            from terminal.bars import Display

            self._display = Display(self._err, lambda text: make_visible(self.words(text)), format_size)
        display = self._display
        bar = display.add(label, total, measure)
        try:
            yield bar
        finally:
            if display.remove(bar):
                self._display = None

    def words(self, text: str | Text) -> str:
        """Give `text` in the reader's language."""
        return text.into(self.language) if isinstance(text, Text) else text

    def cell(self, value: Cell) -> str:
        """Give `value` as a person reads it in a table."""
        if value is None:
            return "-"
        if isinstance(value, datetime):
            return self.time(value)
        if isinstance(value, (str, Text)):
            return make_one_line(self.words(value))
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"

    def time(self, when: datetime) -> str:
        """Give an aware time in the reader's own zone, with the offset, so that nobody has to guess."""
        return when.astimezone().isoformat(sep=" ", timespec="seconds")

    def size(self, size_bytes: int) -> str:
        """Give a size as `4.0 GiB`."""
        return format_size(size_bytes)

    def _write_json(self, document: Mapping[str, object], indent: int | None) -> None:
        if self.json_mode:
            text = json.dumps(document, ensure_ascii=False, indent=indent, default=to_json)
            self._out.write(make_visible(text) + "\n")


def format_size(size_bytes: int) -> str:
    """Give a size in binary units: `999 B`, `4.0 GiB`."""
    if abs(size_bytes) < 1024:
        return f"{size_bytes} B"
    value, unit = float(size_bytes), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}"


def format_utc(when: datetime) -> str:
    """Give an aware time as machines read it: `2025-07-01T02:03:04.5Z` with as many digits as it has."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def make_visible(text: str) -> str:
    """Write control characters and those that turn the direction of text as escapes; line ends and tabs stay.

    A cell of a hospital's table may hold anything; ESC sequences and bidirectional overrides in it (Trojan Source,
    CVE-2021-42574) could make a terminal show what is not there.
    """
    return _HARMFUL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def make_one_line(text: str) -> str:
    r"""Write a name or a reason as `make_visible` does, and on one line: a second one could pass for another message.

    >>> make_one_line("a\nall is well")
    'a\\nall is well'
    """
    return make_visible(text).replace("\n", "\\n").replace("\t", "\\t")


def display_width(text: str) -> int:
    """Give the columns that `text` takes on a terminal: Chinese characters two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def set_up_streams() -> None:
    """Let stdout and stderr take any character: UTF-8 where they are files or pipes, or on Windows; never an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        if sys.platform == "win32" or not stream.isatty():
            reconfigure(encoding="utf-8", errors="backslashreplace")
        else:
            reconfigure(errors="backslashreplace")


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - display_width(text))
    return space + text if right else text + space


def to_json(value: object) -> object:
    """Give the JSON form of what `json` has none for: times in UTC, enums, paths, bytes in hex. Raises: TypeError."""
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form here")
