# SPDX-License-Identifier: Apache-2.0
"""What `check` finds at a SQLite file, over real files; a network file system is told from a mount table that says so."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.collectors.base import Finding, Severity
from agent.collectors.mounts import Mount, find_mount, read_mounts
from agent.collectors.sqlite import SqliteCollector, SqliteSettings
from agent.collectors.sqlite.catalog import read_catalog
from agent.collectors.sqlite.checks import judge
from agent.collectors.sqlite.opening import Mode, open_read
from terminal.language import Language

_CRASH = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN")
db.execute("UPDATE t SET note = note || 'x'")
os.kill(os.getpid(), 9)
"""


def _make(path: Path, *, wal: bool = True) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode = {'wal' if wal else 'delete'}")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, note TEXT)")
        db.executemany("INSERT INTO t VALUES (?, ?)", ((i, "n" * 500) for i in range(200)))
    return path


def _check(path: Path) -> list[Finding]:
    return list(SqliteCollector(SqliteSettings(path=path)).check())


def _said(findings: list[Finding], severity: Severity) -> str:
    for finding in findings:
        assert finding.sentence(Language.ZH)
    return "\n".join(
        f"{f.sentence(Language.EN)} -> {f.advice(Language.EN)}" for f in findings if f.severity is severity
    )


def _judge(path: Path, kind: str) -> list[Finding]:
    with closing(open_read(path, 1.0)) as opened:
        catalog = read_catalog(opened.connection, SqliteSettings(path=path))
    return list(judge(path, opened.mode, catalog, [Mount(Path("/"), "ext4"), Mount(path.parent.resolve(), kind)]))


def test_tables_without_keys_and_keys_of_another_order_are_named(tmp_path: Path) -> None:
    path = _make(tmp_path / "his.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE keyless (a)")
        db.execute("CREATE TABLE named (name TEXT COLLATE NOCASE PRIMARY KEY NOT NULL) STRICT")
    findings = _check(path)
    assert "1 tables have no key: keyless" in _said(findings, Severity.WARN)
    assert "1 tables are sorted by the agent" in _said(findings, Severity.OK)
    assert "named" in _said(findings, Severity.OK)


def test_wal_that_nobody_checkpoints_is_warned_of(tmp_path: Path) -> None:
    path = _make(tmp_path / "his.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("SELECT count(*) FROM t").fetchone()
        assert "the WAL has" not in _said(_check(path), Severity.WARN)
        os.truncate(tmp_path / "his.db-wal", 65 << 20)
        assert "the WAL has 65 MiB" in _said(_check(path), Severity.WARN)


def test_journal_left_by_a_crash_fails_and_says_who_must_roll_it_back(tmp_path: Path) -> None:
    path = _make(tmp_path / "his.db", wal=False)
    subprocess.run([sys.executable, "-c", _CRASH, path], check=False)
    assert (tmp_path / "his.db-journal").stat().st_size > 0
    before = path.read_bytes()
    failed = _said(_check(path), Severity.FAIL)
    assert "journal left by a crash must first be rolled back by the application" in failed
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX rights")
def test_account_that_could_write_is_warned_of(tmp_path: Path) -> None:
    path = _make(tmp_path / "his.db")
    assert ("could write" in _said(_check(path), Severity.WARN)) is os.access(path, os.W_OK)
    path.chmod(0o444)
    assert ("could write" in _said(_check(path), Severity.WARN)) is os.access(path, os.W_OK)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_live_database_on_a_network_file_system_fails(tmp_path: Path, kind: str) -> None:
    path = _make(tmp_path / "his.db")
    assert f"network file system ({kind} at" in _said(_judge(path, kind), Severity.FAIL)
    assert "network" not in _said(_judge(path, "ext4"), Severity.FAIL)


def test_rollback_database_on_a_network_file_system_is_warned_of(tmp_path: Path) -> None:
    path = _make(tmp_path / "his.db", wal=False)
    assert "network file system" in _said(_judge(path, "nfs"), Severity.WARN)


def test_text_that_is_kept_as_utf16_is_told(tmp_path: Path) -> None:
    path = tmp_path / "his.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA encoding = 'UTF-16le'")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    assert "UTF-16le" in _said(_check(path), Severity.OK)


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux tells its mounts")
def test_mount_of_a_real_path_is_found_and_is_the_deepest() -> None:
    mounts = read_mounts()
    found = find_mount(Path("/proc/self").resolve(), mounts)
    assert found is not None
    assert (found.place, found.kind, found.is_networked) == (Path("/proc"), "proc", False)
    top = find_mount(Path("/"), mounts)
    assert top is not None
    assert top.place == Path("/")


def test_mode_of_a_database_that_is_read_is_known(tmp_path: Path) -> None:
    with closing(open_read(_make(tmp_path / "his.db", wal=False), 1.0)) as opened:
        assert opened.mode is Mode.ROLLBACK
