# SPDX-License-Identifier: Apache-2.0
"""The dialects that a source of kind `odbc` may name. Data only."""

from typing import Final

from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.dialects.mariadb import MARIADB
from agent.collectors.odbc.dialects.postgresql import KINGBASE, POSTGRESQL
from agent.collectors.odbc.dialects.sqlite import SQLITE

DIALECTS: Final[dict[str, Dialect]] = {d.name: d for d in (KINGBASE, MARIADB, POSTGRESQL, SQLITE)}

__all__ = ["DIALECTS"]
