# SPDX-License-Identifier: Apache-2.0
"""One large table read by one session and by several, in turns: the reading alone, and the agent's whole snapshot.

A is `COPY … ORDER BY` to nowhere by psql. `reading` is what the collector does of it: rows as blocks of lines, in order,
thrown away. `snapshot` is the whole agent, until the center's receipt, of a table that did not change since the last one.
Each round takes all of them, every second round in the other order; ratios are within a round, the medians and extremes of
all rounds are printed. With `--cold` the server's files are put out of the system's memory before each, as those of a database are that is
larger than it. CPU seconds of the server are those of all its sessions, which depend little on what else the machine does.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from agent.collectors.postgresql import PostgresqlCollector, PostgresqlSettings
from bench._world import CenterProcess, machine, measure, snapshot, table
from bench.sources import make_rows
from evidence.rows.line import Token
from tests.servers.postgresql import PostgresServer, find_binary

_MILLION = 1_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench ranges", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2 * _MILLION)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--cold", action="store_true", help="read from the disk")
    parser.add_argument("--sessions", default="1,2", help="numbers of sessions, the first is the unit of the others")
    options = parser.parse_args()
    counts = [int(count) for count in options.sessions.split(",")]
    server = PostgresServer.create()
    root = Path(tempfile.mkdtemp(prefix="jinsuo-bench-"))
    os.environ["JINSUO_BENCH_PASSWORD"] = server.password
    try:
        work = make_rows(server, options.rows / (20 * _MILLION))
        server.execute("VACUUM ANALYZE", database="rows")
        ((size,),) = server.execute("SELECT pg_table_size('visit')", database="rows")
        print(f"machine: {machine()}; {work.name}, {size / 1e6:.0f} MB", flush=True)
        with CenterProcess(root / "center") as center:
            sources = "".join(
                f"  - {{name: by{count}, {work.source}, read_sessions: {count}}}\n" for count in counts
            )  # fmt: skip
            center.enroll("X013", root / "agent", sources)
            acts: dict[str, Act] = {"A": partial(copy_to_nowhere, server)}
            for count in counts:
                acts[f"reading by {count}"] = partial(read, server, count)
            for count in counts:
                snapshot(root / "agent", f"by{count}")
                acts[f"snapshot by {count}"] = partial(take, root / "agent", count)
            prepare = partial(forget, server) if options.cold else (lambda: None)
            rounds = [one_round(acts, server, prepare, is_reversed=bool(i % 2)) for i in range(options.rounds)]
        print_table(rounds, counts)
    finally:
        server.stop()
        shutil.rmtree(root)


@dataclass(frozen=True)
class Took:
    """What one act took: seconds, CPU seconds of our own process, and those of the server."""

    wall_s: float
    own_cpu_s: float
    server_cpu_s: float


Round = dict[str, Took]
Act = Callable[[], tuple[float, float]]
"""Do something; give the seconds, and the CPU seconds of the process that did it."""


def one_round(acts: dict[str, Act], server: PostgresServer, prepare: Callable[[], None], *, is_reversed: bool) -> Round:
    """Do each once."""
    done: Round = {}
    for name in reversed(acts) if is_reversed else acts:
        prepare()
        before = cpu_s(server)
        wall, own = acts[name]()
        done[name] = Took(wall, own, cpu_s(server) - before)
    told = ", ".join(
        f"{name} {took.wall_s:.2f} s ({took.own_cpu_s:.2f}, {took.server_cpu_s:.2f})" for name, took in done.items()
    )
    print(f"load {os.getloadavg()[0]:.1f}: {told}", flush=True)
    return done


def print_table(rounds: list[Round], counts: list[int]) -> None:
    """Print medians and extremes; ratios to what stands first of its kind."""
    lines: list[tuple[object, ...]] = []
    for kind in ("reading", "snapshot"):
        for count in counts:
            took = [done[f"{kind} by {count}"] for done in rounds]
            ratios = [done[f"{kind} by {count}"].wall_s / done[f"{kind} by {counts[0]}"].wall_s for done in rounds]
            units = [done[f"{kind} by {count}"].wall_s / done["A"].wall_s for done in rounds]
            lines.append(
                (
                    f"{kind}, {count} session(s)", statistics.median(t.wall_s for t in took), statistics.median(units),
                    statistics.median(ratios), f"{min(ratios):.2f}-{max(ratios):.2f}",
                    statistics.median(t.own_cpu_s for t in took), statistics.median(t.server_cpu_s for t in took),
                )
            )  # fmt: skip
    headers = ("what", "seconds", "× A", f"× {counts[0]} session", "lowest and highest", "our CPU s", "server CPU s")
    table(f"{len(rounds)} rounds", headers, lines)


def cpu_s(server: PostgresServer) -> float:
    """Give the CPU seconds of all sessions that have ended; wait until ours have."""
    while server.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'rows'")[0][0]:
        time.sleep(0.05)
    # The server has been told of a session's end a moment after it is gone from the list.
    time.sleep(0.3)
    fields = server.data.joinpath("postmaster.pid").read_text().split()
    usage = Path(f"/proc/{fields[0]}/stat").read_text().rpartition(")")[2].split()
    return (int(usage[13]) + int(usage[14])) / os.sysconf("SC_CLK_TCK")


def forget(server: PostgresServer) -> None:
    """Put the server's files out of the system's memory; what it keeps itself (64 MB) stays."""
    server.execute("CHECKPOINT")
    for path in server.data.joinpath("base").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copy_to_nowhere(server: PostgresServer) -> tuple[float, float]:
    """Let the server send all rows in order to nobody; psql's own CPU seconds are not counted."""
    began = time.perf_counter()
    with Path(os.devnull).open("wb") as nowhere:
        query = "COPY (SELECT * FROM visit ORDER BY id) TO STDOUT"
        measure([find_binary("psql"), server.dsn_of("rows"), "-qc", query], stdout=nowhere)
    return time.perf_counter() - began, 0.0


def read(server: PostgresServer, count: int) -> tuple[float, float]:
    """Read the table, from the first question to the last block."""
    settings = PostgresqlSettings(
        host=server.host, port=server.port, database="rows", user=server.user, password=server.password,
        pg_dump=Path(os.devnull), read_sessions=count,
    )  # fmt: skip
    with PostgresqlCollector(settings).open_view() as view:
        (visit,) = view.tables()
        began, before = time.perf_counter(), time.process_time()
        for _ in view.read(visit, _Nowhere()):
            pass
        return time.perf_counter() - began, time.process_time() - before


def take(folder: Path, count: int) -> tuple[float, float]:
    """Take a whole snapshot, until its receipt has been verified."""
    run, _ = snapshot(folder, f"by{count}")
    return run.wall_s, run.cpu_s


class _Nowhere:
    """A sink for large cells, of which the table has none."""

    def put(self, raw: BinaryIO) -> Token:
        raise AssertionError(f"the table has no large cells, but one of {len(raw.read())} bytes")

    def put_again(self, token: Token) -> bool:
        raise AssertionError(f"the table has no large cells, but {token}")


if __name__ == "__main__":
    main()
