# SPDX-License-Identifier: Apache-2.0
"""Certify and verify one row of 3 million: seconds of the whole commands, and the size of the bundle.

Beside it, as the unit: starting Python and importing the verifier's libraries, which no command can be faster than.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from bench._world import BIN, CenterProcess, Run, machine, measure_alone, snapshot, table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench proof", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jinsuo-bench-") as name:
        root = Path(name)
        print(f"machine: {machine()}", flush=True)
        database = root / "his.db"
        fill(database, options.rows)
        with CenterProcess(root / "center") as center:
            small = root / "small.db"
            fill(small, 10)
            center.enroll("X013", root / "agent", _source(database))
            center.enroll("X027", root / "other", _source(small))
            snapshot(root / "agent", "his")
            snapshot(root / "other", "his")  # its agent cosigns the log that holds the first one's statement
            policy = root / "trust.policy"
            printed = measure_alone([str(BIN / "jinsuo-center"), "-C", str(root / "center"), "key", "--policy"])
            policy.write_bytes(printed.stdout)
            rows = [
                ("python, libraries loaded", *_median([python() for _ in range(options.runs)]), ""),
                *_measure(root, policy, options.rows, options.runs),
            ]
        table(f"One row of {options.rows:,}", ("what", "seconds", "CPU s", "peak MiB", "bytes"), rows)


def fill(path: Path, count: int) -> None:
    """Make a SQLite table of `count` rows of about 140 bytes."""
    import sqlite3

    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE visit (id INTEGER PRIMARY KEY, patient TEXT, name TEXT, dept TEXT, note TEXT, at TEXT)"
    )
    with database:
        database.executemany(
            "INSERT INTO visit VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    i,
                    f"P{i * 7919 % 10**8:08d}",
                    "王小明",
                    "心血管内科",
                    f"高血压病 {i % 9} 级，随访",
                    f"2026-01-{i % 28 + 1:02d} 10:00:00",
                )
                for i in range(1, count + 1)
            ),
        )
    database.close()


def python() -> Run:
    """Run nothing but the start of Python with the verifier's libraries."""
    return measure_alone(
        [sys.executable, "-c", "import blake3, zstandard, cryptography.hazmat.primitives.asymmetric.ed25519"]
    )


def _source(path: Path) -> str:
    return f"  - name: his\n    kind: sqlite\n    path: {path}\n"


def _measure(root: Path, policy: Path, count: int, runs: int) -> list[tuple[object, ...]]:
    certified: list[Run] = []
    verified: list[Run] = []
    size = 0
    for i in range(runs):
        bundle = root / f"{i}.jinsuo"
        key = str(1 + (count - 1) * i // max(runs - 1, 1))
        certified.append(
            measure_alone(
                [str(BIN / "jinsuo-center"), "-C", str(root / "center"), "certify", "X013", "his", "latest", "visit", key,
                 "--out", str(bundle)]
            )
        )  # fmt: skip
        verified.append(measure_alone([str(BIN / "jinsuo-verify"), str(bundle), "--policy", str(policy)]))
        size = bundle.stat().st_size
    return [("jinsuo-center certify", *_median(certified), size), ("jinsuo-verify", *_median(verified), size)]


def _median(runs: list[Run]) -> tuple[float, float, float]:
    return (
        statistics.median(run.wall_s for run in runs),
        statistics.median(run.cpu_s for run in runs),
        max(run.peak_mib for run in runs),
    )


if __name__ == "__main__":
    main()
