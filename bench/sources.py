# SPDX-License-Identifier: Apache-2.0
"""Large sources, two nights each: 1,000 tables, 20 M rows, 300,000 files, a dump of 2 GB of which 0.1 % changed.

Peak memory, time and bytes sent of the whole agent process until the receipt is verified, with the center on the same
host. The unit of each is the least that must be done to see the source: COPY of all tables to nowhere; a walk with one
`stat` a file (night 1: with the reading of each file); SHA-256 over the dump. Between the nights little changes: one row
in a table of ten, 0.05 % of the rows, 100 files, twenty places of the dump. `--scale 0.01` makes all of it smaller.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench._world import CenterProcess, machine, measure, snapshot, table
from tests.servers.postgresql import PostgresServer, find_binary

_MIB = 1 << 20
_PLACES = 20


@dataclass(frozen=True)
class Work:
    """A source: its YAML without the name; `change` is what the day brings; `unit` is the least work of a night, 1 or 2."""

    name: str
    source: str
    change: Callable[[], None]
    unit: Callable[[int], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench sources", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="1: as above; 0.01: a hundredth of all")
    parser.add_argument("--only", choices=("tables", "rows", "files", "dump"), help="one of them")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="jinsuo-bench-"))
    server = PostgresServer.create() if options.only in (None, "tables", "rows") else None
    if server is not None:
        os.environ["JINSUO_BENCH_PASSWORD"] = server.password
    try:
        print(f"machine: {machine()}; scale {options.scale}", flush=True)
        makers: dict[str, Callable[[], Work]] = {
            "files": lambda: make_files(root / "files", options.scale),
            "dump": lambda: make_dump(root / "his.dmp", options.scale),
        }
        if server is not None:
            makers["tables"] = lambda: make_tables(server, options.scale)
            makers["rows"] = lambda: make_rows(server, options.scale)
        for name in ("tables", "rows", "files", "dump") if options.only is None else (options.only,):
            _measure(root / f"run-{name}", makers[name]())
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(root)


def make_tables(server: PostgresServer, scale: float) -> Work:
    """Make 1,000 tables of 500 rows."""
    count = max(10, round(1_000 * scale))
    server.create_database("tables")
    for i in range(count):
        server.execute(
            f"CREATE TABLE t{i:04} (id int PRIMARY KEY, name text, at timestamp, note text); INSERT INTO t{i:04} SELECT g, "
            f"'患者' || g, timestamp '2026-01-01' + g * interval '1 min', md5((g * {i + 1})::text) FROM generate_series(1, 500) g",
            database="tables",
        )

    def change() -> None:
        for i in range(0, count, 10):
            server.execute(f"UPDATE t{i:04} SET note = 'changed' WHERE id = 250", database="tables")

    names = [f"t{i:04}" for i in range(count)]
    return Work(f"{count:,} tables", _postgres(server, "tables"), change, lambda _: _copy(server, "tables", names))


def make_rows(server: PostgresServer, scale: float) -> Work:
    """Make one table of 20 M rows of about 120 bytes."""
    count = max(10_000, round(20_000_000 * scale))
    server.create_database("rows")
    server.execute(
        "CREATE TABLE visit (id bigint PRIMARY KEY, patient text, dept text, at timestamp, fee numeric(10,2), note text); "
        "INSERT INTO visit SELECT g, 'P' || lpad((g::bigint * 7919 % 100000000)::text, 8, '0'), '心血管内科', timestamp '2020-01-01' + "
        f"g * interval '7 s', (g % 100000) / 100.0, '高血压病，随访 ' || md5(g::text) FROM generate_series(1, {count}) g",
        database="rows",
    )

    def change() -> None:
        # Most of it new and recent, as in live systems; a tenth anywhere.
        few = max(1, count // 2_000)
        server.execute(
            f"UPDATE visit SET fee = fee + 1 WHERE id > {count - 10 * few} AND id % 10 = 0; "
            f"UPDATE visit SET fee = fee + 1 WHERE id % {10 * count // few} = 3",
            database="rows",
        )

    return Work(
        f"{count:,} rows", _postgres(server, "rows"), change, lambda _: _copy(server, "rows", ["visit ORDER BY id"])
    )


def make_files(folder: Path, scale: float) -> Work:
    """Make 300,000 files of about 4 KiB, a thousand in a folder."""
    count = max(1_000, round(300_000 * scale))
    chance = random.Random(7)
    for i in range(count):
        if i % 1_000 == 0:
            (folder / f"{i // 1_000:04}").mkdir(parents=True)
        (folder / f"{i // 1_000:04}" / f"{i:07}.dcm").write_bytes(chance.randbytes(chance.randrange(1_000, 7_000)))
    # A stamp that is younger than a minute when the file is read is not trusted the next night.
    time.sleep(61)

    def change() -> None:
        for i in range(0, count, max(1, count // 100)):
            (folder / f"{i // 1_000:04}" / f"{i:07}.dcm").write_bytes(b"changed")

    def unit(night: int) -> None:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                path.stat()
                if night == 1:
                    path.read_bytes()

    return Work(f"{count:,} files", f"kind: files, path: {folder}", change, unit)


def make_dump(path: Path, scale: float) -> Work:
    """Make a dump of 2 GB that does not compress, given by a command."""
    size = max(64 * _MIB, round(2_000_000_000 * scale))
    chance = random.Random(11)
    with path.open("wb") as file:
        for _ in range(0, size, _MIB):
            file.write(chance.randbytes(_MIB))

    def change() -> None:
        part = path.stat().st_size // 1_000 // _PLACES
        with path.open("r+b") as file:
            for i in range(_PLACES):
                file.seek(path.stat().st_size // _PLACES * i + part)
                file.write(chance.randbytes(part))

    def unit(_: int) -> None:
        measure(["sha256sum", str(path)])

    return Work(f"dump of {size / 1e6:,.0f} MB", f"kind: command, argv: [cat, {path}], dump: his.dmp", change, unit)


def _measure(root: Path, work: Work) -> None:
    """Take two nights of one source, and print a table."""
    root.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = []
    with CenterProcess(root / "center") as center:
        center.enroll("X013", root / "agent", f"  - {{name: his, {work.source}}}\n")
        for night in (1, 2):
            began = time.perf_counter()
            work.unit(night)
            unit = time.perf_counter() - began
            before = center.cpu_s()
            run, outcome = snapshot(root / "agent", "his")
            rows.append(("the unit", f"night {night}", unit, 1.0, "", "", ""))
            rows.append(
                ("agent", f"night {night}", run.wall_s, run.wall_s / unit, run.cpu_s, run.peak_mib, outcome["sent_bytes"] / 1e6)
            )  # fmt: skip
            rows.append(("its center", f"night {night}", "", "", center.cpu_s() - before, center.peak_mib(), ""))
            if night == 1:
                work.change()
    table(work.name, ("what", "night", "seconds", "× unit", "CPU s", "peak MiB", "sent MB"), rows)
    sys.stdout.flush()


def _postgres(server: PostgresServer, database: str) -> str:
    return (
        f"kind: postgresql, host: {server.host}, port: {server.port}, database: {database}, user: {server.user}, "
        "password: env:JINSUO_BENCH_PASSWORD"
    )


def _copy(server: PostgresServer, database: str, names: list[str]) -> None:
    copies = "; ".join(f"COPY (SELECT * FROM {name}) TO STDOUT" for name in names)
    with Path(os.devnull).open("wb") as nowhere:
        measure([find_binary("psql"), server.dsn_of(database), "-qc", copies], stdout=nowhere)


if __name__ == "__main__":
    main()
