# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a source that is read over ODBC, and which tables that selects. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from evidence.manifest.statement import Consistency


@dataclass(frozen=True, slots=True)
class OdbcSettings:
    """A source read over ODBC by `dialect` (a name in `dialects.DIALECTS`, or one that a collector brings).

    `connection` is an ODBC connection string without account and password, such as `DSN=his`.
    `include` and `exclude` are patterns (`*`, `?`, `[…]`) on `schema.table` as design section 2 spells names; nothing
    included means all. `as_names` gives a table (by that name) the logical name it has in the evidence, spelled so too.
    `stall_limit_s` bounds how long the driver may be silent; `snapshot_age_limit_s` how long one state is held;
    `give_way_after_s` how long others may wait for what we hold, where the dialect can tell.
    `accepts`: the weakest class of consistency that is good enough, where the database allows no better one now.
    """

    dialect: str
    connection: str
    user: str | None = None
    password: str = field(default="", repr=False)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    as_names: Mapping[str, str] = field(default_factory=dict)
    lock_timeout_s: float = 10.0
    give_way_after_s: float = 15.0
    stall_limit_s: float = 1800.0
    snapshot_age_limit_s: float = 4 * 3600.0
    connect_timeout_s: float = 10.0
    accepts: Consistency = Consistency.CONSISTENT

    @property
    def address(self) -> str:
        """Give what the source is called in messages: the connection string, which has no password."""
        return self.connection.strip(";")

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
