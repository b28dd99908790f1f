# SPDX-License-Identifier: Apache-2.0
"""What a snapshot does to those who work: pgbench with and without one, by throttle, and how long anybody waits for a lock.

pgbench's own tables; four clients that update rows at random without a break (the worst that a live system can be), or, with `--load
half`, at half of the rate that they reach so, as a system that is not at its end. With `--script tpcb-like` each transaction also
updates one of a few rows, as tables of serial numbers are: those suffer from the age of a snapshot alone, whoever holds it.

Each round measures pgbench alone, beside a snapshot from its begin to its end, and alone again; ratios are of neighbours, the medians
of all rounds stand in the table. Meanwhile `pg_locks` and `pg_stat_activity` are looked at five times a second: the longest that
anybody waited for a lock of ours, and the age of our oldest transaction. Snapshots stay in the spool, so that no center works on
the same cores. With `--load locks` somebody ALTERs and LOCKs the largest table again and again in the midst of throttled snapshots,
while nobody works and while pgbench does.

`--keep FILE` adds the rounds to a file and makes the table of all that it has, so that a measurement can be made in parts.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import psycopg2

from agent.latency import percentile
from bench._world import BIN, CenterProcess, machine, measure, snapshot, table
from tests.servers.postgresql import PostgresServer, find_binary

_LOOK_S = 0.2
_ALONE_S = 12
_LOCK = "LOCK TABLE pgbench_accounts"
_NONE = "{max_latency: null}"
_PRIORITIES: Final = ("low", "normal")
_OURS = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity WHERE application_name = 'jinsuo'"
_WAITING = """
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0) FROM pg_locks l
    WHERE NOT l.granted AND EXISTS (SELECT FROM pg_stat_activity a
                                    WHERE a.application_name = 'jinsuo' AND a.pid = ANY(pg_blocking_pids(l.pid)))"""
THROTTLES: Final = {
    "off": ("normal", _NONE, "off (`priority: normal`, no probe)"),
    "default": ("low", "{max_latency: 8}", "by default (low priority, probe)"),
    "rate": ("low", "{read_rate: 8 MiB, max_latency: 5}", "low priority, `read_rate: 8 MiB`, `max_latency: 5`"),
    "share50": ("low", "{share: 50}", "low priority, `share: 50`"),
    "share25": ("low", "{share: 25}", "low priority, `share: 25`"),
    "share10": ("low", "{share: 10}", "low priority, `share: 10`"),
    "share5": ("low", "{share: 5}", "low priority, `share: 5`"),
    "held": ("", "", "nothing is read: a snapshot is held for 60 s"),
}
"""By name: priority, throttle, and what the table says. `held` tells what the age of a snapshot costs by itself."""

_HELD_S: Final = 60


@dataclass(frozen=True)
class Load:
    """What pgbench does: its script, clients, and transactions a second together; None: without a break."""

    script: str
    clients: int
    rate: int | None = None


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
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--load", choices=("full", "half", "locks"), default="full")
    parser.add_argument("--script", choices=("simple-update", "tpcb-like"), default="simple-update")
    parser.add_argument("--throttles", default=",".join(THROTTLES), help=f"some of {', '.join(THROTTLES)}")
    parser.add_argument(
        "--sessions", type=int, default=1, help="`read_sessions`: so many read the largest table at once"
    )
    parser.add_argument("--keep", type=Path, help="add to the rounds of this file")
    options = parser.parse_args()
    server = PostgresServer.create()
    root = Path(tempfile.mkdtemp(prefix="jinsuo-harm-"))
    try:
        print(f"machine: {machine()}", flush=True)
        pgbench(server, "-i", "-q", "-s", str(options.scale))
        with CenterProcess(root / "center") as center:
            folder = make_agent(server, center, root / "agent", options.sessions)
            if options.load == "locks":
                measure_locks(server, folder, root, Load(options.script, options.clients))
                return
            work = Load(options.script, options.clients)
            if options.load == "half":
                work = replace(work, rate=find_half(server, root, work))
            load = f"{options.script}, {options.load} load" + (
                f", {options.sessions} sessions" if options.sessions > 1 else ""
            )
            for _ in range(options.rounds):
                for name in options.throttles.split(","):
                    act = hold(server) if name == "held" else take(folder, *THROTTLES[name][:2])
                    done = one_round(server, act, root, work)
                    print(f"{name}: {done}", flush=True)
                    keep(options.keep or root / "rounds", load, name, done)
            print_table(read_rounds(options.keep or root / "rounds", load), load)
    finally:
        server.stop()
        shutil.rmtree(root)


def keep(path: Path, load: str, name: str, done: Round) -> None:
    """Add a round to a file."""
    with path.open("a") as file:
        file.write(json.dumps({"load": load, "throttle": name, "round": asdict(done)}) + "\n")


def read_rounds(path: Path, load: str) -> dict[str, list[Round]]:
    """Give the rounds of a file that were measured under `load`, by throttle."""
    rounds: dict[str, list[Round]] = {}
    for line in path.read_text().splitlines():
        kept = json.loads(line)
        if kept["load"] == load:
            values = kept["round"]
            works = {key: Work(**values[key]) for key in ("alone", "beside")}
            rounds.setdefault(kept["throttle"], []).append(Round(**{**values, **works}))
    return {name: rounds[name] for name in THROTTLES if name in rounds}


def print_table(rounds: dict[str, list[Round]], load: str) -> None:
    """Print medians of all rounds; ratios against pgbench alone."""

    def median(of: Callable[[Round], float], measured: list[Round]) -> float:
        return statistics.median(of(each) for each in measured)

    table(
        f"pgbench ({load}) beside a snapshot (× what it does alone)",
        (
            "throttle",
            "rounds",
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
                THROTTLES[name][2],
                len(measured),
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


def take(folder: Path, priority: str, throttle: str) -> Callable[[], object]:
    """Give the act of taking a snapshot at this pace."""
    set_throttle(folder, priority, throttle)
    return partial(measure, [str(BIN / "jinsuo-agent"), "-C", str(folder), "snapshot", "his", "--no-send"])


def hold(server: PostgresServer) -> Callable[[], object]:
    """Give the act of holding a snapshot of the database, and reading nothing."""

    def act() -> None:
        connection = psycopg2.connect(server.dsn, application_name="jinsuo")
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT pg_export_snapshot()")
            time.sleep(_HELD_S)
        connection.close()

    return act


def one_round(server: PostgresServer, act: Callable[[], object], root: Path, load: Load) -> Round:
    """Measure pgbench alone before and after, and beside `act` from its begin to its end."""
    with PgbenchBeside(server, root, load), Watching(server) as watching:
        time.sleep(2)
        before = time.time()
        time.sleep(_ALONE_S)
        began = time.time()
        act()
        ended = time.time()
        time.sleep(_ALONE_S)
        after = time.time()
    alone = read_log(root, (before, began), (ended, after))
    return Round(alone, read_log(root, (began, ended)), ended - began, watching.oldest_s, watching.waited_s)


def find_half(server: PostgresServer, root: Path, load: Load) -> int:
    """Give half of the transactions a second that the clients reach without a break."""
    with PgbenchBeside(server, root, load):
        time.sleep(2)
        began = time.time()
        time.sleep(10)
        ended = time.time()
    return max(1, round(read_log(root, (began, ended)).tps / 2))


class PgbenchBeside:
    """pgbench in slices of some seconds until the context ends: it writes its log only when it ends by itself."""

    def __init__(self, server: PostgresServer, root: Path, load: Load) -> None:
        self._root = root
        self._run_once = partial(run_pgbench, server, root, load, 5)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "PgbenchBeside":
        clear_log(self._root)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            self._run_once()


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


def measure_locks(server: PostgresServer, folder: Path, root: Path, load: Load) -> None:
    """ALTER and LOCK the largest table in the midst of throttled snapshots, and print how long that waited."""
    times: dict[str, list[float]] = {}
    set_throttle(folder, "low", "{read_rate: 8 MiB}")
    for busy, beside in (("nobody works", nullcontext()), ("pgbench works", PgbenchBeside(server, root, load))):
        with beside:
            times[f"LOCK TABLE, {busy}, nobody reads"] = [_time_lock(server, _LOCK) for _ in range(40)]
            locked = times[f"LOCK TABLE, {busy}, it is being read"] = []
            altered = times[f"ALTER TABLE … ADD COLUMN, {busy}, it is being read"] = []
            for i in range(4):
                lock_amid_snapshot(server, folder, locked, altered, f"harm_{busy[0]}{i}")
    table(
        "A lock of the largest table, in milliseconds",
        ("what", "times", "median", "longest"),
        [(what, len(took), 1000 * statistics.median(took), 1000 * max(took)) for what, took in times.items()],
    )


def lock_amid_snapshot(
    server: PostgresServer, folder: Path, locked: list[float], altered: list[float], column: str
) -> None:
    """Take a snapshot; ALTER the largest table once and LOCK it some times while it is read."""
    process = subprocess.Popen(
        [str(BIN / "jinsuo-agent"), "-C", str(folder), "snapshot", "his", "--no-send"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        if _wait_until_copied(server, process):
            altered.append(_time_lock(server, f"ALTER TABLE pgbench_accounts ADD COLUMN {column} int"))
        for _ in range(6):
            if not _wait_until_copied(server, process):
                break
            locked.append(_time_lock(server, _LOCK))
    finally:
        process.wait(600)


def _wait_until_copied(server: PostgresServer, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the largest table has been read for a moment; False: the snapshot has ended."""
    copying = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jinsuo' AND query LIKE 'COPY%accounts%'"
        " AND clock_timestamp() - xact_start > '300 ms' AND state <> 'idle'"
    )
    while process.poll() is None:
        if server.execute(copying)[0][0]:
            return True
        time.sleep(0.05)
    return False


def _time_lock(server: PostgresServer, sql: str) -> float:
    connection = psycopg2.connect(server.dsn)
    try:
        with connection.cursor() as cursor:
            began = time.monotonic()
            cursor.execute(sql)
            waited = time.monotonic() - began
        connection.commit()
    finally:
        connection.close()
    return waited


def make_agent(server: PostgresServer, center: CenterProcess, folder: Path, sessions: int) -> Path:
    """Make an enrolled agent whose chain has begun, so that no center is asked any more."""
    center.enroll("X1", folder, _source(server) + f"    read_sessions: {sessions}\n")
    set_throttle(folder, "normal", _NONE)
    snapshot(folder, "his")
    return folder


def set_throttle(folder: Path, priority: str, throttle: str) -> None:
    """Change how the agent in `folder` spares its source."""
    path = folder / "agent.yaml"
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        if line.strip().startswith("priority: ") and line.strip().removeprefix("priority: ") in _PRIORITIES:
            lines[i] = f"  priority: {priority}"
        elif line.startswith("    throttle: {"):
            lines[i] = f"    throttle: {throttle}"
    path.write_text("\n".join(lines) + "\n")


def run_pgbench(server: PostgresServer, root: Path, load: Load, seconds: int) -> None:
    """Let clients work for so long; the log of each transaction lies in `root`."""
    words = ["-b", load.script, "-c", str(load.clients), *(["--rate", str(load.rate)] if load.rate else [])]
    pgbench(server, "-n", *words, "-T", str(seconds), "--log", f"--log-prefix={root / 'work'}")


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


def read_log(root: Path, *spans: tuple[float, float]) -> Work:
    """Give what was done of what ended within spans. A line: client, number, µs, script, seconds, µs of the second."""
    took_ms: list[float] = []
    for path in root.glob("work.*"):
        for line in path.read_text().splitlines():
            fields = line.split()
            at = int(fields[4]) + int(fields[5]) / 1e6
            if any(began <= at <= ended for began, ended in spans):
                took_ms.append(int(fields[2]) / 1000)
    seconds = sum(ended - began for began, ended in spans)
    return Work(len(took_ms) / seconds, percentile(took_ms, 50), percentile(took_ms, 99))


def _number(cursor: Any, sql: str) -> float:
    cursor.execute(sql)
    return float(cursor.fetchone()[0])


def _source(server: PostgresServer) -> str:
    return (
        f"  - name: his\n    kind: postgresql\n    host: {server.host}\n    port: {server.port}\n    database: postgres\n"
        f"    user: {server.user}\n    password: env:JINSUO_BENCH_PASSWORD\n    throttle: {_NONE}\n"
    )


if __name__ == "__main__":
    os.environ["JINSUO_BENCH_PASSWORD"] = "secret"
    main()
