# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a SQL Server source, and the connection string that it makes. Data only."""

from dataclasses import dataclass, field

from agent.collectors.naming import ALL_TABLES, TableChoice
from agent.collectors.odbc import OdbcSettings
from evidence.manifest.statement import Consistency


@dataclass(frozen=True, slots=True)
class SqlserverSettings:
    r"""A database of SQL Server. `host` may name an instance (`host\name`); then `port` does not count.

    `encrypt` is what the driver takes: `yes`, `no`, `strict`. `accepts` LIVE: read committed rows where SNAPSHOT isolation
    is not allowed. For all else see `OdbcSettings`.
    """

    host: str
    database: str
    user: str
    password: str = field(repr=False)
    port: int = 1433
    driver: str = "ODBC Driver 18 for SQL Server"
    encrypt: str = "yes"
    trust_certificate: bool = False
    tables: TableChoice = ALL_TABLES
    lock_timeout_s: float = 10.0
    give_way_after_s: float = 15.0
    stall_limit_s: float = 1800.0
    snapshot_age_limit_s: float = 4 * 3600.0
    connect_timeout_s: float = 10.0
    accepts: Consistency = Consistency.CONSISTENT

    def over_odbc(self) -> OdbcSettings:
        """Give the same as settings of a source over ODBC.

        >>> SqlserverSettings("db", "his", "u", "p").over_odbc().connection
        'Driver={ODBC Driver 18 for SQL Server};Server=tcp:db,1433;Database={his};Encrypt=yes;TrustServerCertificate=no'
        """
        server = self.host if "\\" in self.host else f"tcp:{self.host},{self.port}"
        parts = (
            f"Driver={_brace(self.driver)}", f"Server={server}", f"Database={_brace(self.database)}",
            f"Encrypt={self.encrypt}", f"TrustServerCertificate={'yes' if self.trust_certificate else 'no'}",
        )  # fmt: skip
        return OdbcSettings(
            dialect="sqlserver",
            connection=";".join(parts),
            user=self.user,
            password=self.password,
            tables=self.tables,
            lock_timeout_s=self.lock_timeout_s,
            give_way_after_s=self.give_way_after_s,
            stall_limit_s=self.stall_limit_s,
            snapshot_age_limit_s=self.snapshot_age_limit_s,
            connect_timeout_s=self.connect_timeout_s,
            accepts=self.accepts,
        )


def _brace(value: str) -> str:
    return "{" + value.replace("}", "}}") + "}"
