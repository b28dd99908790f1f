# SPDX-License-Identifier: Apache-2.0
"""Read a MySQL source in tests: settings that lead to a test's database, sessions beside ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.collectors.mysql import MysqlSettings
from tests.servers.mariadb import MariadbServer


def settings_for(server: MariadbServer, database: str, **changes: Any) -> MysqlSettings:
    values: dict[str, Any] = {"user": server.user, "password": server.password} | changes
    return MysqlSettings(host=server.host, port=server.port, database=database, **values)


@contextmanager
def session(server: MariadbServer, database: str) -> Iterator[Any]:
    """Give a cursor of another session, whose transaction stays open until the end."""
    connection = server.connect(database, autocommit=False)
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def count_sessions(server: MariadbServer, database: str) -> int:
    """Count the sessions in a database, in any state, but for the one that asks."""
    return int(
        server.execute(
            "SELECT count(*) FROM information_schema.PROCESSLIST WHERE DB = %s AND ID <> CONNECTION_ID()", (database,)
        )[0][0]
    )
