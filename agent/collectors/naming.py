# SPDX-License-Identifier: Apache-2.0
"""What a person wrote about the names of tables, against what the database has. Knows no collector; no I/O."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from agent.collectors.base import Omission
from agent.errors import SourceError
from evidence.errors import FormatError
from evidence.rows.names import parse_name


class NamingSettings(Protocol):
    """Settings that select tables by patterns and give them logical names."""

    @property
    def include(self) -> tuple[str, ...]:
        """Give the patterns of tables that are wanted; none: all."""

    @property
    def as_names(self) -> Mapping[str, str]:
        """Give the logical names, by the tables' own."""


def check_names(settings: NamingSettings, offered: Iterable[str], known: set[str]) -> Sequence[Omission]:
    """Refuse two tables of one name; give what the settings name but the database has not.

    `offered`: logical names; `known`: the database's own. Raises: SourceError.
    """
    twice = sorted(name for name, count in Counter(offered).items() if count > 1)
    if twice:
        raise SourceError(f"two tables would have the name {twice[0]!r}", hint="change `as:` so that names differ")
    for logical in settings.as_names.values():
        try:
            parse_name(logical)
        except FormatError as err:
            raise SourceError(
                f"`as: {logical}` is no name of a table: {err}",
                hint="join identifiers by `.`; inside them write `\\\\` and `\\.`, and `\\@` for a leading @",
            ) from err
    wanted = {p for p in settings.include if not set("*?[") & set(p)} | set(settings.as_names)
    return [Omission(name, "named in the settings, but not in the database") for name in sorted(wanted - known)]
