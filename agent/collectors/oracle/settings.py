# SPDX-License-Identifier: Apache-2.0
"""What a person may set about an Oracle source. Data only; nothing is opened here."""

from dataclasses import dataclass, field
from pathlib import Path

from agent.collectors.naming import ALL_TABLES, TableChoice


@dataclass(frozen=True, slots=True)
class OracleSettings:
    """A database of Oracle, by the name of its service.

    `client`: the folder of an Instant Client, which servers before 12.1 need; None: the driver speaks to the server itself.
    `tables` go by `SCHEMA.TABLE`.
    `stall_limit_s` bounds one answer of the server; `snapshot_age_limit_s` how long the undo of one state is needed.
    """

    host: str
    service: str
    user: str
    password: str = field(repr=False)
    port: int = 1521
    client: Path | None = None
    tables: TableChoice = ALL_TABLES
    stall_limit_s: float = 1800.0
    snapshot_age_limit_s: float = 3600.0
    connect_timeout_s: float = 10.0

    @property
    def address(self) -> str:
        """Give `service at host:port`, for messages."""
        return f"{self.service} at {self.host}:{self.port}"
