# SPDX-License-Identifier: Apache-2.0
"""What a reader of the manifest must know about single paths, bounded in number. Pure."""

from collections import Counter
from typing import Final

MAX_NOTES: Final = 1000


class Notes:
    """Collect notes of the form `<what>: <path>`; beyond a thousand only their number is kept. Not thread-safe."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._more: Counter[str] = Counter()

    def add(self, what: str, path: bytes) -> None:
        """Note that `what` happened to `path`."""
        line = f"{what}: {show(path)}"
        if len(self._lines) < MAX_NOTES:
            self._lines[line] = None
        elif line not in self._lines:
            self._more[what] += 1

    def lines(self) -> tuple[str, ...]:
        """Give the notes, one line each."""
        return (*self._lines, *(f"{what}: {count} more paths" for what, count in sorted(self._more.items())))


def show(path: bytes) -> str:
    """Give a path on one line; backslashes and what is not UTF-8 or not printable are escaped: no two look alike."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(_show_character(c) for c in text)


def _show_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == "\\":
        return "\\\\"
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
