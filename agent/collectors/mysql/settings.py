# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a MySQL or MariaDB source. Data only; nothing is opened."""

from dataclasses import dataclass, field
from pathlib import Path

from agent.collectors.naming import ALL_TABLES, TableChoice
from agent.collectors.vigil import PATIENCE_S


@dataclass(frozen=True, slots=True)
class MysqlSettings:
    """A database of a MySQL or MariaDB server.

    `host`: one that begins with `/` is a Unix socket; `localhost` is the socket that the client library knows.
    `tables` go by `database.table`.
    `lock_timeout_s` bounds how long we queue for a table that others hold, and with it how long others queue behind
    us; `give_way_after_s` how long others may wait for the table that we are reading, 0: until it is seen. `statement_timeout_s` None leaves
    the server's own limit. `snapshot_age_limit_s` bounds how long the server keeps old versions of rows for us.
    `lock_guard`: stop all writing for a moment, so that two sessions see the same state (see `snapshot`). `patience_s`: see `vigil`.
    """

    host: str
    database: str
    user: str
    password: str = field(repr=False)
    port: int = 3306
    ssl_mode: str = "preferred"
    ssl_ca: Path | None = None
    tables: TableChoice = ALL_TABLES
    lock_guard: bool = False
    lock_timeout_s: float = 10.0
    give_way_after_s: float = 0.0
    statement_timeout_s: float | None = None
    snapshot_age_limit_s: float = 4 * 3600.0
    connect_timeout_s: float = 10.0
    patience_s: float = PATIENCE_S

    @property
    def address(self) -> str:
        """Give `database at host:port`, for messages."""
        place = self.host if self.host.startswith("/") else f"{self.host}:{self.port}"
        return f"{self.database} at {place}"
