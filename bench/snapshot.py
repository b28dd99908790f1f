# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a PostgreSQL, side by side in one run: the limit (A), ours (B), peers (C); then a second day.

`visit` has 3 M rows of about 140 bytes in 12 columns, `emr_doc` 100,000 rows of about 5 KB. A is the same
`COPY … ORDER BY` to nowhere; it is measured before and after the others, and the median is the unit of all ratios.
B ends when the `stored` receipt has been verified, with the center on the same host. C: `pg_dump -Fc -Z0` into restic
and borg, and ordered CSV into borg with 32 KiB chunks. Day 2: 0.1 % new rows at the end, 0.05 % updates among the
newest 5 %, 0.01 % random updates.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import RawIOBase
from pathlib import Path

import psycopg2

from bench._world import CenterProcess, machine, measure, snapshot, table
from tests.servers.postgresql import PostgresServer, find_binary

_TABLES = (("visit", "visit_id"), ("emr_doc", "doc_id"))
_SURNAMES = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹"
_GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂文辉建华玉梅"
_WORDS = (
    "患者", "神志清", "精神可", "诉", "胸闷", "较前减轻", "查体", "双肺呼吸音清", "未闻及干湿性啰音", "心率", "次/分", "律齐", "腹软",
    "无压痛", "双下肢无水肿", "继续目前治疗", "复查血常规", "肝肾功能", "血压", "mmHg", "体温", "℃", "予", "抗感染", "补液", "对症处理",
    "注意观察病情变化", "今日查房", "切口敷料干燥", "无渗出", "心电图示", "窦性心律", "CT 示", "右肺下叶", "斑片影", "建议", "随访", "，", "。",
)  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="script/bench snapshot", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--visits", type=int, default=3_000_000)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--no-peers", action="store_true", help="measure A and B only")
    options = parser.parse_args()
    server = PostgresServer.create()
    root = Path(tempfile.mkdtemp(prefix="jinsuo-bench-"))
    try:
        print(f"machine: {machine()}", flush=True)
        fill(server, options.visits, options.docs)
        with CenterProcess(root / "center") as center:
            center.enroll("X013", root / "agent", _source(server))
            peers = {} if options.no_peers else make_peers(server, root)
            rows = [one_day("day 1", server, center, root / "agent", peers)]
            change(server, options.visits, options.docs)
            rows.append(one_day("day 2", server, center, root / "agent", peers))
        for title, lines in rows:
            table(title, ("what", "seconds", "× A", "CPU s", "peak MiB", "sent or stored MB"), lines)
    finally:
        server.stop()
        shutil.rmtree(root)


def one_day(
    title: str, server: PostgresServer, center: CenterProcess, agent: Path, peers: "dict[str, Peer]"
) -> tuple[str, list[tuple[object, ...]]]:
    """Measure A, B, A, C… and A once more."""
    limits = [limit(server), limit(server)]
    before = center.cpu_s()
    run, outcome = snapshot(agent, "his")
    ours = ("B jinsuo: agent, receipt verified", run.wall_s, run.cpu_s, run.peak_mib, outcome["sent_bytes"] / 1e6)
    kept = ("  its center", "", center.cpu_s() - before, center.peak_mib(), "")
    limits.append(limit(server))
    others = []
    for name, peer in peers.items():
        wall, stored = peer()
        others.append((f"C {name}", wall, "", "", stored / 1e6))
        limits.append(limit(server))
    unit = statistics.median(limits)
    lines: list[tuple[object, ...]] = [("A COPY … ORDER BY to nowhere", unit, 1.0, "", "", "")]
    lines.append((ours[0], ours[1], ours[1] / unit, *ours[2:]))
    lines.append((kept[0], "", "", *kept[2:]))
    lines += [(name, wall, wall / unit, cpu, peak, stored) for name, wall, cpu, peak, stored in others]
    spread = f"{min(limits):.1f}-{max(limits):.1f}"
    return f"{title} (A measured {len(limits)} times: {spread} s)", lines


def limit(server: PostgresServer) -> float:
    """Give the seconds that the server needs to send all rows in order to nobody."""
    began = time.perf_counter()
    for name, key in _TABLES:
        query = f"COPY (SELECT * FROM {name} ORDER BY {key}) TO STDOUT"
        with Path(os.devnull).open("wb") as nowhere:
            measure([find_binary("psql"), server.dsn, "-qc", query], stdout=nowhere)
    return time.perf_counter() - began


Peer = Callable[[], tuple[float, int]]


def make_peers(server: PostgresServer, root: Path) -> dict[str, Peer]:
    """Give the peers that are installed: what runs one backup, and gives seconds and bytes added to its repository."""
    environ = {
        "PGPASSWORD": server.password, "RESTIC_PASSWORD": "bench", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "RESTIC_CACHE_DIR": str(root / "restic-cache"), "BORG_BASE_DIR": str(root / "borg-base"),
    }  # fmt: skip
    dump = f"{find_binary('pg_dump')} -h {server.host} -p {server.port} -U {server.user} -Fc -Z0 {server.name}"
    copies = "; ".join(
        f"{find_binary('psql')} -h {server.host} -p {server.port} -U {server.user} {server.name} -qc "
        f"'COPY (SELECT * FROM {name} ORDER BY {key}) TO STDOUT (FORMAT csv)'"
        for name, key in _TABLES
    )
    peers: dict[str, Peer] = {}

    def add(name: str, repository: Path, init: str, backup: str) -> None:
        measure(["sh", "-c", init], environ=environ)

        def run() -> tuple[float, int]:
            before = _size(repository)
            began = time.perf_counter()
            measure(["sh", "-c", backup], environ=environ)
            return time.perf_counter() - began, _size(repository) - before

        peers[name] = run

    if shutil.which("restic"):
        folder = root / "restic"
        add(
            "pg_dump -Z0 | restic",
            folder,
            f"restic -q -r {folder} init",
            f"{dump} | restic -q -r {folder} backup --stdin",
        )
    if shutil.which("borg"):
        stamp = "'::{now:%Y%m%d%H%M%S%f}'"
        for name, producer, chunker in (
            ("pg_dump -Z0 | borg zstd,1", dump, ""),
            ("ordered CSV | borg zstd,1, 32 KiB chunks", f"({copies})", "--chunker-params buzhash,13,17,15,4095"),
        ):
            folder = root / f"borg-{len(peers)}"
            add(
                name, folder, f"borg init -e none {folder}",
                f"export BORG_REPO={folder}; {producer} | borg create -C zstd,1 {chunker} {stamp} -",
            )  # fmt: skip
    return peers


def fill(server: PostgresServer, visits: int, docs: int) -> None:
    """Make both tables."""
    server.execute(
        "CREATE TABLE visit (visit_id bigint PRIMARY KEY, patient_no text, name text, sex char(1), born date, dept text,"
        " diagnosis text, visited timestamp, fee numeric(10,2), insured bool, note text, doctor text)"
    )
    server.execute("CREATE TABLE emr_doc (doc_id bigint PRIMARY KEY, visit_id bigint, written timestamp, body text)")
    chance = random.Random(1)
    _load(server, "visit", (_visit(chance, i) for i in range(1, visits + 1)))
    _load(server, "emr_doc", (_doc(chance, i) for i in range(1, docs + 1)))
    server.execute("VACUUM ANALYZE")


def change(server: PostgresServer, visits: int, docs: int) -> None:
    """Do a day's work: new rows at the end, updates among the newest, a few anywhere."""
    chance = random.Random(2)
    for name, key, count, column in (("visit", "visit_id", visits, "note"), ("emr_doc", "doc_id", docs, "body")):
        make = _visit if name == "visit" else _doc
        recent = [count - chance.randrange(count // 20) for _ in range(count // 2000)]
        anywhere = [chance.randrange(1, count + 1) for _ in range(count // 10_000)]
        server.execute(
            f"UPDATE {name} SET {column} = {column} || '（补充）' WHERE {key} = ANY(%s)", (recent + anywhere,)
        )
        _load(server, name, (make(chance, i) for i in range(count + 1, count + 1 + count // 1000)))
    server.execute("VACUUM ANALYZE")


def _visit(chance: random.Random, i: int) -> str:
    name = chance.choice(_SURNAMES) + chance.choice(_GIVEN) + chance.choice(_GIVEN)
    minute = i % 1440
    return (
        f"{i}\tP{chance.randrange(10**8):08d}\t{name}\t{chance.choice('MF')}\t19{chance.randrange(40, 99)}-"
        f"{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}\t{chance.choice(_WORDS)}科\t{chance.choice(_WORDS)}"
        f"{chance.randrange(9)}级\t2026-01-{i % 28 + 1:02d} {minute // 60:02d}:{minute % 60:02d}:{chance.randrange(60):02d}\t"
        f"{chance.randrange(10**6) / 100:.2f}\tt\t{chance.choice(_WORDS)}{chance.choice(_WORDS)}\tD{chance.randrange(2000):04d}\n"
    )


def _doc(chance: random.Random, i: int) -> str:
    text = "".join(chance.choices(_WORDS, k=420)) + str(chance.randrange(10**9))
    return f"{i}\t{i * 30}\t2026-01-{i % 28 + 1:02d} 08:00:00\t{text}\n"


def _load(server: PostgresServer, name: str, lines: Iterator[str]) -> None:
    connection = psycopg2.connect(server.dsn)
    with connection, connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {name} FROM STDIN", _Lines(lines))
    connection.close()


class _Lines(RawIOBase):
    """Lines as a file to read."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def read(self, size: int = -1) -> bytes:
        parts: list[bytes] = []
        total = 0
        for line in self._lines:
            parts.append(line.encode())
            total += len(parts[-1])
            if total >= size:
                break
        return b"".join(parts)


def _source(server: PostgresServer) -> str:
    return (
        f"  - name: his\n    kind: postgresql\n    host: {server.host}\n    port: {server.port}\n"
        f"    database: {server.name}\n    user: {server.user}\n    password: env:JINSUO_BENCH_PASSWORD\n"
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    os.environ["JINSUO_BENCH_PASSWORD"] = "secret"
    if shutil.which("restic") is None or shutil.which("borg") is None:
        print("restic or borg is not installed: peers are left out", file=sys.stderr)
    subprocess.run(["sync"], check=False)
    main()
