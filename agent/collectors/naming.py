# SPDX-License-Identifier: Apache-2.0
"""What a person wrote about the names of tables, against what the database has. Knows no collector; no I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from agent.collectors.base import Omission
from agent.errors import SourceError
from evidence.errors import FormatError
from evidence.rows.names import parse_name
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class TableChoice:
    """Which tables of a database are wanted, and what they are called in the evidence.

    `include` and `exclude` are patterns (`*`, `?`, `[…]`) on the tables' own names as design section 2 spells them; nothing
    included means all. `as_names` gives a table (by that name) its logical name, spelled so too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    as_names: Mapping[str, str] = field(default_factory=dict)

    def is_excluded(self, name: str) -> bool:
        """Tell whether `name` is excluded by a pattern; what is included does not matter."""
        return any(fnmatchcase(name, pattern) for pattern in self.exclude)

    def exclusion_of(self, name: str) -> str | None:
        """Give the reason why table `name` is left out, or None if it is wanted."""
        for pattern in self.exclude:
            if fnmatchcase(name, pattern):
                return f"excluded by the settings ({pattern})"
        if self.include and not any(fnmatchcase(name, pattern) for pattern in self.include):
            return "not among the tables that the settings include"
        return None

    def logical_name(self, name: str) -> str:
        """Give the name that table `name` has in the evidence."""
        return self.as_names.get(name, name)


ALL_TABLES: Final = TableChoice()


def check_names(choice: TableChoice, offered: Iterable[str], known: set[str]) -> Sequence[Omission]:
    """Refuse two tables of one name; give what the settings name but the database has not.

    `offered`: logical names; `known`: the database's own. Raises: SourceError.
    """
    twice = sorted(name for name, count in Counter(offered).items() if count > 1)
    if twice:
        raise SourceError(
            Text(zh=f"会有两张表都叫 {twice[0]!r}", en=f"two tables would have the name {twice[0]!r}"),
            hint=Text(zh="改动 `as:`，使名称不同", en="change `as:` so that names differ"),
        )
    for logical in choice.as_names.values():
        try:
            parse_name(logical)
        except FormatError as err:
            raise SourceError(
                Text(zh=f"`as: {logical}` 不能用作表名：{err}", en=f"`as: {logical}` is no name of a table: {err}"),
                hint=Text(
                    zh="各级标识符以 `.` 相连；标识符中写 `\\\\` 和 `\\.`，开头的 @ 写作 `\\@`",
                    en="join identifiers by `.`; inside them write `\\\\` and `\\.`, and `\\@` for a leading @",
                ),
            ) from err
    wanted = {p for p in choice.include if not set("*?[") & set(p)} | set(choice.as_names)
    return [Omission(name, "named in the settings, but not in the database") for name in sorted(wanted - known)]
