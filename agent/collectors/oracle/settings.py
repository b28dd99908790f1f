# SPDX-License-Identifier: Apache-2.0
"""What a person may set about an Oracle source, and which tables that selects. Data only; nothing is opened here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """A database of Oracle, by the name of its service.

    `client`: the folder of an Instant Client, which servers before 12.1 need; None: the driver speaks to the server itself.
    `include` and `exclude` are patterns (`*`, `?`, `[…]`) on `SCHEMA.TABLE` as design section 2 spells names; nothing
    included means all. `as_names` gives a table (by that name) the logical name it has in the evidence, spelled so too.
    `stall_limit_s` bounds one answer of the server; `snapshot_age_limit_s` how long the undo of one state is needed.
    """

    host: str
    service: str
    user: str
    password: str = field(repr=False)
    port: int = 1521
    client: Path | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    as_names: Mapping[str, str] = field(default_factory=dict)
    stall_limit_s: float = 1800.0
    snapshot_age_limit_s: float = 3600.0
    connect_timeout_s: float = 10.0

    @property
    def address(self) -> str:
        """Give `service at host:port`, for messages."""
        return f"{self.service} at {self.host}:{self.port}"

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
