# SPDX-License-Identifier: Apache-2.0
"""Fixtures of real servers, for all tests."""

import itertools
from collections.abc import Iterator

import pytest

from tests.servers.mariadb import MariadbServer
from tests.servers.postgresql import PostgresServer
from tests.servers.sshd import SshServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give one PostgreSQL for the whole run. Tests share it: use `postgres_database`."""
    server = PostgresServer.create()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the name of an empty database in `postgres_server`, for this test alone."""
    name = f"test_{next(_numbers)}"
    postgres_server.create_database(name)
    try:
        yield name
    finally:
        postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariadbServer]:
    """Give one MariaDB for the whole run. Tests share it: use `mariadb_database`."""
    server = MariadbServer.create()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def mariadb_database(mariadb_server: MariadbServer) -> Iterator[str]:
    """Give the name of an empty database in `mariadb_server`, for this test alone."""
    name = f"test_{next(_numbers)}"
    mariadb_server.create_database(name)
    try:
        yield name
    finally:
        mariadb_server.drop_database(name)


@pytest.fixture(scope="session")
def ssh_server() -> Iterator[SshServer]:
    """Give one OpenSSH server for the whole run; let a key in with `tests.builders.roads.admit`."""
    server = SshServer.create()
    try:
        yield server
    finally:
        server.remove()
