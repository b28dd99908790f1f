# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a SQLite source. Data only; nothing is opened here."""

from dataclasses import dataclass
from pathlib import Path

from agent.collectors.naming import ALL_TABLES, TableChoice


@dataclass(frozen=True, slots=True)
class SqliteSettings:
    """A SQLite source.

    `busy_timeout_s` bounds the wait for a lock; `snapshot_age_limit_s` how long the read transaction may keep the
    application's checkpoints (in rollback mode: its writers) waiting.
    """

    path: Path
    tables: TableChoice = ALL_TABLES
    busy_timeout_s: float = 10.0
    snapshot_age_limit_s: float = 3600.0
