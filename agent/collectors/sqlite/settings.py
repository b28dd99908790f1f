# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a SQLite source. Data only; nothing is opened here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """A SQLite source.

    `include` and `exclude` are patterns (`*`, `?`, `[…]`) on table names as design section 2 spells them; nothing
    included means all. `as_names` gives a table (by that name) the logical name it has in the evidence, spelled so too.
    `busy_timeout_s` bounds the wait for a lock; `snapshot_age_limit_s` how long the read transaction may keep the
    application's checkpoints (in rollback mode: its writers) waiting.
    """

    path: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    as_names: Mapping[str, str] = field(default_factory=dict)
    busy_timeout_s: float = 10.0
    snapshot_age_limit_s: float = 3600.0

    def exclusion_of(self, name: str) -> str | None:
        """Give the reason why table `name` is left out, or None if it is wanted."""
        for pattern in self.exclude:
            if fnmatchcase(name, pattern):
                return f"excluded by the settings ({pattern})"
        if self.include and not any(fnmatchcase(name, pattern) for pattern in self.include):
            return "not among the tables that the settings include"
        return None
