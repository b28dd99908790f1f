# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a PostgreSQL source, and which tables that selects. Data only; nothing is opened here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PostgresqlSettings:
    """A PostgreSQL source.

    `include` and `exclude` are patterns (`*`, `?`, `[…]`) on `schema.table` as design section 2 spells names; nothing
    included means all. `as_names` gives a table (by that name) the logical name it has in the evidence, spelled so too.
    `connect_options` are further options of libpq, such as `sslrootcert`.
    `lock_timeout_s` bounds how long we queue for a table that others hold, and with it how long others queue behind
    us; `give_way_after_s` how long others may wait for the table that we are reading, 0: until it is seen. After
    `most_give_ways` of them a reading is put off. `statement_timeout_s` None: the server's own limit, or
    a minute more than the age limit if that is shorter.
    `snapshot_age_limit_s` bounds how long the cluster's vacuum is held back.
    `pg_dump` None: the one of a fitting version that is found.
    """

    host: str
    database: str
    user: str
    password: str = field(repr=False)
    port: int = 5432
    sslmode: str = "prefer"
    connect_options: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    as_names: Mapping[str, str] = field(default_factory=dict)
    materialized_views: bool = False
    large_objects: bool = True
    lock_timeout_s: float = 10.0
    give_way_after_s: float = 0.0
    most_give_ways: int = 10
    statement_timeout_s: float | None = None
    snapshot_age_limit_s: float = 4 * 3600.0
    connect_timeout_s: float = 10.0
    application_name: str = "jinsuo"
    pg_dump: Path | None = None

    @property
    def address(self) -> str:
        """Give `database at host:port`, for messages."""
        return f"{self.database} at {self.host}:{self.port}"

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
