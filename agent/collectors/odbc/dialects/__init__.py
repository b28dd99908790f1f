# SPDX-License-Identifier: Apache-2.0
"""The dialects that a source of kind `odbc` may name. Data only."""

from typing import Final

from agent.collectors.odbc.dialect import Dialect
from agent.collectors.odbc.dialects.db2 import DB2
from agent.collectors.odbc.dialects.dm8 import DM8
from agent.collectors.odbc.dialects.gbase import GBASE
from agent.collectors.odbc.dialects.generic import GENERIC
from agent.collectors.odbc.dialects.iris import IRIS
from agent.collectors.odbc.dialects.mariadb import MARIADB
from agent.collectors.odbc.dialects.postgresql import KINGBASE, POSTGRESQL
from agent.collectors.odbc.dialects.sqlite import SQLITE

DIALECTS: Final[dict[str, Dialect]] = {
    d.name: d for d in (POSTGRESQL, MARIADB, SQLITE, DM8, KINGBASE, IRIS, DB2, GBASE, GENERIC)
}

__all__ = ["DIALECTS"]
