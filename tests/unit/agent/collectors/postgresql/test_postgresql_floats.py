# SPDX-License-Identifier: Apache-2.0
"""Floats as the evidence formats them are PostgreSQL's own text of them, bit pattern by bit pattern."""

import io
import random
import struct

from agent.collectors.postgresql import PostgresqlCollector
from evidence.rows.values import format_float4, format_float8
from tests.servers.postgresql import PostgresServer
from tests.servers.reading import read_lines, session, settings_for

SEED = 20261122
COUNT = 12_000


def _doubles() -> list[float]:
    chosen = random.Random(SEED)
    bits = [chosen.getrandbits(64) for _ in range(COUNT)]
    found = [struct.unpack("<d", struct.pack("<Q", b))[0] for b in bits]
    found += [2.0**e for e in range(-1074, 1024)] + [float(f"1e{e}") for e in range(-323, 309)]
    found += [float(f"{d}e{e}") for d in (2, 5, 9, 9.5, 123456789.5) for e in range(15, 40)]
    found += [2.0**53 + k for k in range(-20, 40)] + [
        1e23,
        9e22,
        1e22,
        5e-324,
        1.7976931348623157e308,
        0.1,
        -0.0,
        1e15,
        1e-5,
    ]
    found += [chosen.randrange(2**53, 2**64) * 1.0 for _ in range(2000)] + [
        chosen.uniform(-1e6, 1e6) for _ in range(2000)
    ]
    return found


def _singles() -> list[float]:
    chosen = random.Random(SEED)
    bits = [chosen.getrandbits(32) for _ in range(COUNT)]
    bits += [struct.unpack("<I", struct.pack("<f", 2.0**e))[0] + step for e in range(-149, 128) for step in (-1, 0, 1)]
    bits += [struct.unpack("<I", struct.pack("<f", float(f"1e{e}")))[0] for e in range(-45, 39)]
    return [struct.unpack("<f", struct.pack("<I", b & 0xFFFFFFFF))[0] for b in bits]


def _printed(server: PostgresServer, database: str, declared: str, packed: list[bytes]) -> list[bytes]:
    """Give what PostgreSQL prints of floats that are put in as bits, through the collector."""
    with session(server, database) as cursor:
        cursor.execute(f"CREATE TABLE f (id int PRIMARY KEY, v {declared})")
        body = b"".join(
            struct.pack("!hii", 2, 4, i) + struct.pack("!i", len(bits)) + bits for i, bits in enumerate(packed)
        )
        cursor.copy_expert(
            "COPY f FROM STDIN (FORMAT binary)", io.BytesIO(b"PGCOPY\n\xff\r\n\0" + bytes(8) + body + b"\xff\xff")
        )
        cursor.connection.commit()
    with PostgresqlCollector(settings_for(server, database)).open_view() as view:
        return [line.split(b"\t")[1] for line in read_lines(view, "public.f")]


def test_doubles_are_written_as_postgresql_prints_them(postgres_server: PostgresServer, postgres_database: str) -> None:
    values = _doubles()
    printed = _printed(postgres_server, postgres_database, "float8", [struct.pack("!d", v) for v in values])
    assert [(v.hex(), p) for v, p in zip(values, printed, strict=True) if format_float8(v) != p] == []


def test_singles_are_written_as_postgresql_prints_them(postgres_server: PostgresServer, postgres_database: str) -> None:
    values = _singles()
    printed = _printed(postgres_server, postgres_database, "float4", [struct.pack("!f", v) for v in values])
    assert [(v.hex(), p) for v, p in zip(values, printed, strict=True) if format_float4(v) != p] == []
