# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a PostgreSQL source. Data only; nothing is opened here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.collectors.naming import ALL_TABLES, TableChoice
from agent.collectors.vigil import PATIENCE_S


@dataclass(frozen=True, slots=True)
class PostgresqlSettings:
    """A PostgreSQL source.

    `tables` go by `schema.table`.
    `connect_options` are further options of libpq, such as `sslrootcert`.
    `lock_timeout_s` bounds how long we queue for a table that others hold, and with it how long others queue behind
    us; `give_way_after_s` how long others may wait for the table that we are reading, 0: until it is seen. After
    `most_give_ways` of them a reading is put off. `read_sessions` of ours read a large table side by side.
    `statement_timeout_s` None: the server's own limit, or a minute more than the age limit if that is shorter.
    `snapshot_age_limit_s` bounds how long the cluster's vacuum is held back.
    `pg_dump` None: the one of a fitting version that is found. `patience_s`: see `vigil`.
    """

    host: str
    database: str
    user: str
    password: str = field(repr=False)
    port: int = 5432
    sslmode: str = "prefer"
    connect_options: Mapping[str, str] = field(default_factory=dict)
    tables: TableChoice = ALL_TABLES
    materialized_views: bool = False
    large_objects: bool = True
    lock_timeout_s: float = 10.0
    give_way_after_s: float = 0.0
    most_give_ways: int = 10
    read_sessions: int = 1
    statement_timeout_s: float | None = None
    snapshot_age_limit_s: float = 4 * 3600.0
    connect_timeout_s: float = 10.0
    application_name: str = "jinsuo"
    pg_dump: Path | None = None
    patience_s: float = PATIENCE_S

    @property
    def address(self) -> str:
        """Give `database at host:port`, for messages."""
        return f"{self.database} at {self.host}:{self.port}"
