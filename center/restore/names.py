# SPDX-License-Identifier: Apache-2.0
"""Identifiers that a target can hold, for names that another system allowed. Pure.

Systems differ in what they take for equal (SQLite and Windows fold case), how long a name may be (PostgreSQL: 63 bytes,
silently cut), and what is reserved. Here each name gets one identifier of its own, the name itself wherever that is
possible; the restored names differ from the original's only as the report says.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from evidence.errors import FormatError
from evidence.rows.names import parse_name


@dataclass(slots=True)
class Identifiers:
    """Give out identifiers, each once. `fold` gives what the target takes for the same name, `size_of` how long it is."""

    max_size: int
    fold: Callable[[str], str]
    is_reserved: Callable[[str], bool] = lambda _: False
    size_of: Callable[[str], int] = lambda name: len(name.encode("utf-8", "surrogatepass"))
    _taken: set[str] = field(default_factory=set)

    def take(self, name: str) -> str:
        """Give an identifier for `name`: the name itself if the target can hold it and has not given it out."""
        wanted = name.replace("\0", "_") or "_"
        if self.is_reserved(wanted):
            wanted = "_" + wanted
        found = self._cut(wanted, self.max_size)
        number = 2
        while self.fold(found) in self._taken:
            suffix = f"_{number}"
            found = self._cut(wanted, self.max_size - self.size_of(suffix)) + suffix
            number += 1
        self._taken.add(self.fold(found))
        return found

    def take_all(self, names: Iterable[str]) -> tuple[str, ...]:
        """Give identifiers for `names`, in order."""
        return tuple(self.take(name) for name in names)

    def _cut(self, name: str, max_size: int) -> str:
        if self.size_of(name) <= max_size:
            return name
        # The hash keeps two long names apart whose beginnings are equal, and gives the same name every time.
        mark = "~" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        while self.size_of(name) > max_size - self.size_of(mark):
            name = name[:-1]
        return name + mark


def split_table_name(name: str) -> list[str]:
    """Give the source's identifiers of a table's name; a name of our own (`@files`) is one identifier."""
    try:
        return parse_name(name)
    except FormatError:
        return [name]


def fold_ascii(name: str) -> str:
    """Fold the case of ASCII letters, as SQLite does."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
