# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a source that is read over ODBC. Data only."""

from dataclasses import dataclass, field

from agent.collectors.naming import ALL_TABLES, TableChoice
from evidence.manifest.statement import Consistency


@dataclass(frozen=True, slots=True)
class OdbcSettings:
    """A source read over ODBC by `dialect` (a name in `dialects.DIALECTS`, or one that a collector brings).

    `connection` is an ODBC connection string without account and password, such as `DSN=his`.
    `tables` go by `schema.table`.
    `stall_limit_s` bounds how long the driver may be silent; `snapshot_age_limit_s` how long one state is held;
    `give_way_after_s` how long others may wait for what we hold, where the dialect can tell.
    `accepts`: the weakest class of consistency that is good enough, where the database allows no better one now.
    """

    dialect: str
    connection: str
    user: str | None = None
    password: str = field(default="", repr=False)
    tables: TableChoice = ALL_TABLES
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
