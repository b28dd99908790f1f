# SPDX-License-Identifier: Apache-2.0
"""What a snapshot does to those who work: pgbench with and without one, throttle off and on, in one run.

pgbench's own tables at scale 20 (300 MB), four clients that update without a break: the worst that a live system can be.
Each round measures pgbench alone and then beside a snapshot, and of the second only what fell within the snapshot; ratios are of
neighbours, the medians of all rounds stand in the table. Meanwhile `pg_locks` and `pg_stat_activity` are looked at five
times a second: the longest that anybody waited for a lock of ours, and the age of our oldest transaction. Snapshots stay in the
spool, so that no center works on the same cores. At last somebody ALTERs the largest table in the midst of a snapshot.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from agent.latency import percentile
from bench._world import BIN, CenterProcess, machine, measure, snapshot, table
from tests.servers.postgresql import PostgresServer, find_binary

_LOOK_S = 0.2
_ALONE_S = 18
_OURS = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity WHERE application_name = 'jinsuo'"
_WAITING = """
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0) FROM pg_locks l
    WHERE NOT l.granted AND EXISTS (SELECT FROM pg_stat_activity a
                                    WHERE a.application_name = 'jinsuo' AND a.pid = ANY(pg_blocking_pids(l.pid)))"""


@dataclass(frozen=True)
class Work:
    """What pgbench's clients got done within a span: transactions a second, milliseconds at the median and at p99."""

    tps: float
    median_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Round:
    """A snapshot beside pgbench, and pgbench alone before it."""

    alone: Work
    beside: Work
    snapshot_s: float
    oldest_s: float
    waited_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench harm", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scale", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rate", default="8 MiB", help="read_rate of the throttled snapshots")
    options = parser.parse_args()
    server = PostgresServer.create()
    root = Path(tempfile.mkdtemp(prefix="jinsuo-harm-"))
    try:
        print(f"machine: {machine()}", flush=True)
        pgbench(server, "-i", "-q", "-s", str(options.scale))
        agents = {
            "off": ("normal", "{max_latency: null}"),
            "by default: low priority, latency": ("low", "{max_latency: 8}"),
            f"on: low priority, {options.rate}/s, latency": ("low", f"{{read_rate: {options.rate}, max_latency: 5}}"),
        }
        with CenterProcess(root / "center") as center:
            folders = {
                name: make_agent(server, center, root / f"agent{i}", *a) for i, (name, a) in enumerate(agents.items())
            }
            rounds: dict[str, list[Round]] = {name: [] for name in folders}
            for _ in range(options.rounds):
                for name, folder in folders.items():
                    rounds[name].append(one_round(server, folder, root, options.clients))
                    print(f"{name}: {rounds[name][-1]}", flush=True)
            alter_s = alter_amid_snapshot(server, list(folders.values())[-1])
        print_table(rounds)
        print(
            f"\nAn ALTER of the largest table in the midst of a throttled snapshot waited {alter_s:.1f} s (give_way_after 15 s)."
        )
    finally:
        server.stop()
        shutil.rmtree(root)


def print_table(rounds: dict[str, list[Round]]) -> None:
    """Print medians of all rounds; ratios against pgbench alone."""

    def median(of: Callable[[Round], float], measured: list[Round]) -> float:
        return statistics.median(of(each) for each in measured)

    table(
        "pgbench beside a snapshot (× what it does alone)",
        (
            "throttle",
            "throughput ×",
            "median ×",
            "p99 ×",
            "p99 alone ms",
            "snapshot s",
            "oldest transaction s",
            "longest lock wait s",
        ),
        [
            (
                name,
                median(lambda r: r.beside.tps / r.alone.tps, measured),
                median(lambda r: r.beside.median_ms / r.alone.median_ms, measured),
                median(lambda r: r.beside.p99_ms / r.alone.p99_ms, measured),
                median(lambda r: r.alone.p99_ms, measured),
                median(lambda r: r.snapshot_s, measured),
                max(r.oldest_s for r in measured),
                max(r.waited_s for r in measured),
            )
            for name, measured in rounds.items()
        ],
    )


def one_round(server: PostgresServer, folder: Path, root: Path, clients: int) -> Round:
    """Measure pgbench alone, then beside a snapshot from its begin to its end."""
    with PgbenchBeside(server, root, clients):
        time.sleep(2)
        began = time.time()
        time.sleep(_ALONE_S)
        ended = time.time()
    alone = read_log(root, began, ended)
    with PgbenchBeside(server, root, clients), Watching(server) as watching:
        time.sleep(2)
        began = time.time()
        measure([str(BIN / "jinsuo-agent"), "-C", str(folder), "snapshot", "his", "--no-send"])
        ended = time.time()
    return Round(alone, read_log(root, began, ended), ended - began, watching.oldest_s, watching.waited_s)


class PgbenchBeside:
    """pgbench in slices of some seconds until the context ends: it writes its log only when it ends by itself."""

    def __init__(self, server: PostgresServer, root: Path, clients: int) -> None:
        self._arguments = (server, root, clients, 5)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "PgbenchBeside":
        clear_log(self._arguments[1])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            run_pgbench(*self._arguments)


class Watching:
    """Look at locks and transactions until the context ends."""

    def __init__(self, server: PostgresServer) -> None:
        self.oldest_s = 0.0
        self.waited_s = 0.0
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watching":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        connection = psycopg2.connect(self._server.dsn)
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not self._is_over.wait(_LOOK_S):
                self.oldest_s = max(self.oldest_s, _number(cursor, _OURS))
                self.waited_s = max(self.waited_s, _number(cursor, _WAITING))
        connection.close()


def alter_amid_snapshot(server: PostgresServer, folder: Path) -> float:
    """ALTER the largest table while it is read; give the seconds that this waited."""
    process = subprocess.Popen(
        [str(BIN / "jinsuo-agent"), "-C", str(folder), "snapshot", "his", "--no-send"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    copying = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE 'COPY%accounts%'"
    try:
        while not server.execute(copying)[0][0] and process.poll() is None:
            time.sleep(0.05)
        began = time.monotonic()
        server.execute("ALTER TABLE pgbench_accounts ADD COLUMN harm int")
        return time.monotonic() - began
    finally:
        process.wait(600)


def make_agent(server: PostgresServer, center: CenterProcess, folder: Path, priority: str, throttle: str) -> Path:
    """Make an enrolled agent whose chain has begun, so that no center is asked any more."""
    center.enroll(f"X{folder.name[-1]}", folder, _source(server, throttle))
    path = folder / "agent.yaml"
    path.write_text(path.read_text().replace("  priority: low", f"  priority: {priority}"))
    path.write_text(path.read_text().replace(throttle, "{max_latency: null}"))
    snapshot(folder, "his")
    path.write_text(path.read_text().replace("throttle: {max_latency: null}", f"throttle: {throttle}"))
    return folder


def run_pgbench(server: PostgresServer, root: Path, clients: int, seconds: int) -> None:
    """Let clients work for so long; the log of each transaction lies in `root`."""
    pgbench(server, "-n", "-c", str(clients), "-T", str(seconds), "--log", f"--log-prefix={root / 'work'}")


def pgbench(server: PostgresServer, *words: str) -> None:
    """Run pgbench. Raises: RuntimeError."""
    command = [
        find_binary("pgbench"),
        "-h",
        server.host,
        "-p",
        str(server.port),
        "-U",
        server.user,
        *words,
        server.name,
    ]
    measure(command, environ={"PGPASSWORD": server.password})


def clear_log(root: Path) -> None:
    """Remove what pgbench has written."""
    for path in root.glob("work.*"):
        path.unlink()


def read_log(root: Path, began: float, ended: float) -> Work:
    """Give what was done of what ended within a span. A line: client, number, µs, script, seconds, µs of the second."""
    took_ms: list[float] = []
    for path in root.glob("work.*"):
        for line in path.read_text().splitlines():
            fields = line.split()
            if began <= int(fields[4]) + int(fields[5]) / 1e6 <= ended:
                took_ms.append(int(fields[2]) / 1000)
    return Work(len(took_ms) / (ended - began), percentile(took_ms, 50), percentile(took_ms, 99))


def _number(cursor: Any, sql: str) -> float:
    cursor.execute(sql)
    return float(cursor.fetchone()[0])


def _source(server: PostgresServer, throttle: str) -> str:
    return (
        f"  - name: his\n    kind: postgresql\n    host: {server.host}\n    port: {server.port}\n    database: postgres\n"
        f"    user: {server.user}\n    password: env:JINSUO_BENCH_PASSWORD\n    throttle: {throttle}\n"
    )


if __name__ == "__main__":
    os.environ["JINSUO_BENCH_PASSWORD"] = "secret"
    main()
