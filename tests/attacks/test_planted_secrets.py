# SPDX-License-Identifier: Apache-2.0
"""Secrets are planted, then everything that the programs say is searched for them, after good runs and after bad ones.

Planted: a cell's value, a value in a key, a value that breaks its declared key, a password. Found out: the row secrets
and storage keys that the agent made, the private keys, the enrolment code's secret. Searched, in every usual writing:
what commands print (with and without --json), logs, error sentences and hints, settings, reports, and every file that is
neither a pack, a key file nor the journal, which hold them by design.
"""

import base64
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.app import Agent
from center.app import Center
from tests.builders.world import World, agent_process, run_sql, sqlite_source

UNIT = "X013"
CELL = "机密-诊断-7f3a9c"
KEY_CELL = "KEY-CELL-5d1e88"
TWICE = "TWICE-b94c02"
PASSWORD = "pass-word-e61f4d"
POSTGRES = """  - name: pg
    kind: postgresql
    host: 127.0.0.1
    port: 1
    database: his
    user: reader
    password: secret:pg
    connect_timeout: 1 s
"""
MYSQL = POSTGRES.replace("name: pg", "name: my").replace("kind: postgresql", "kind: mysql")
_SAYS = (
    "import os, sys; print(1); sys.stderr.write(os.environ['DB_PASSWORD'] + ' refused'); sys.exit(len(sys.argv) - 1)"
)
COMMANDS = "".join(
    f"  - {{name: {name}, kind: command, argv: {json.dumps([sys.executable, '-c', _SAYS, *words])},"
    " env: {DB_PASSWORD: secret:pg}}\n"
    for name, words in (("dump", []), ("broken", ["x"]))
)
_BY_DESIGN = ("journal.sqlite", "secrets", "keys/", ".pack")
"""What holds secrets, in the agent's folder, readable by its owner alone, or content, in packs."""


def writings(secret: bytes) -> Iterator[bytes]:
    """Give how a secret may be written: raw, hex, base64, as a Python or JSON escape."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for start in range(3):
        # Base64 of what is inside depends on where it begins; the ends, which depend on neighbours, are cut off.
        text = base64.b64encode(b"\0" * start + secret)
        yield text[(4 if start else 0) : -4]
        yield base64.urlsafe_b64encode(b"\0" * start + secret)[(4 if start else 0) : -4]
    yield repr(secret)[2:-1].encode()
    try:
        yield secret.decode().encode("unicode_escape")
    except UnicodeDecodeError:
        return


class Search:
    """What must not be found, and where it was looked for."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {
            "a cell": CELL.encode(), "a key": KEY_CELL.encode(), "a key that is there twice": TWICE.encode(),
            "a password": PASSWORD.encode(),
        }  # fmt: skip
        self.searched = 0

    def check(self, where: str, text: bytes) -> None:
        self.searched += 1
        for name, secret in self.secrets.items():
            for writing in writings(secret):
                assert writing not in text, f"{name} stands in {where}: …{text[: text.index(writing)][-200:]!r}"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "his.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE visit (id TEXT PRIMARY KEY, note TEXT)")
        db.executemany("INSERT INTO visit VALUES (?, ?)", [(f"{KEY_CELL}-{i}", f"{CELL} {i}") for i in range(300)])
        # A declared key that holds twice the same, by SQLite's NULLs and affinities, is not used.
        db.execute("CREATE TABLE odd (a TEXT, b TEXT, PRIMARY KEY (a, b))")
        db.executemany("INSERT INTO odd VALUES (?, ?)", [(TWICE, None), (TWICE, None)])
    return path


def run(search: Search, folder: Path, *words: str, stdin: bytes | None = None) -> tuple[int, bytes]:
    if stdin is None:
        process = agent_process(folder, *words)
        printed, _ = process.communicate(timeout=60)
        code = process.returncode
    else:
        from tests.builders.world import AGENT_COMMAND, ROOT

        done = subprocess.run(
            [*AGENT_COMMAND, "-C", str(folder), *words], input=stdin, capture_output=True, cwd=ROOT, timeout=60,
            check=False,
        )  # fmt: skip
        code, printed = done.returncode, done.stdout + done.stderr
    assert b"Traceback" not in printed, printed.decode()
    search.check(" ".join(words), printed)
    return code, printed


def search_files(search: Search, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part in name for part in _BY_DESIGN) and not name.startswith("holdings"):
            search.check(name, path.read_bytes())


def test_no_secret_is_ever_said(tmp_path: Path, database: Path) -> None:
    search = Search()
    with World.make(tmp_path / "world") as world:
        folder = world.agent_folder(UNIT)
        with world.serving() as center:
            code = center.units.add(UNIT, "医院")
            search.secrets["the code's secret"] = code.secret
            sources = (
                sqlite_source("his", database)
                + POSTGRES
                + MYSQL
                + COMMANDS
                + sqlite_source("gone", tmp_path / "gone.db")
            )
            world.enroll(code.encode(), folder, sources)
        for name in ("statement", "cosigner"):
            search.secrets[f"the {name} key's file"] = b"".join(
                (folder / "keys" / f"{name}.pem").read_bytes().split(b"\n")[1:-2]
            )
        with world.center_process():
            # Good runs.
            assert run(search, folder, "secret", "set", "pg", stdin=f"{PASSWORD}\n".encode())[0] == 0
            for words in (["snapshot", "his"], ["snapshot", "his", "--json"], ["status"], ["status", "--json"]):
                assert run(search, folder, *words)[0] == 0, words
            with Agent.open(folder) as agent:
                keys = agent.journal.keys("his")
                assert keys is not None
                assert "row_secret" not in repr(keys)
            search.secrets |= {"the row secret": keys.row_secret, "the storage key": keys.storage_key}
            run_sql(database, "UPDATE visit SET note = note || 'x' WHERE rowid = 3")
            assert run(search, folder, "compare", "his")[0] != 0
            assert run(search, folder, "plan", "his")[0] == 0
            # A dump command that says its password, and one that fails besides.
            for words in (["snapshot", "dump"], ["snapshot", "dump", "--json"], ["grants", "dump"]):
                assert run(search, folder, *words)[0] == 0, words
            assert run(search, folder, "snapshot", "broken")[0] == 1
            assert b"*** refused" in run(search, folder, "snapshot", "broken", "--json")[1]
            # Bad ones: nobody answers, no file, wrong usage, checks that fail.
            assert run(search, folder, "snapshot", "pg")[0] == 2
            assert run(search, folder, "snapshot", "my")[0] == 2
            assert run(search, folder, "grants", "my")[0] == 0
            assert run(search, folder, "check")[0] != 0
            assert run(search, folder, "snapshot", "gone", "--json")[0] != 0
            assert run(search, folder, "snapshot", "nobody")[0] == 64
            assert run(search, folder, "grants", "pg")[0] in (0, 1, 2)
        # No center; then one whose store is full of damage.
        assert run(search, folder, "snapshot", "his")[0] == 2
        for pack in (world.center_folder / "store" / "packs").rglob("*.pack"):
            raw = bytearray(pack.read_bytes())
            raw[len(raw) // 2] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(raw)
        with world.center_process():
            run(search, folder, "send")
            run(search, folder, "snapshot", "his")
        # A spool that was tampered with: the center refuses the pack, the agent says so.
        settings = folder / "agent.yaml"
        good = settings.read_text(encoding="utf-8")
        settings.write_text(good.replace("password: secret:pg", f"password: {PASSWORD}"), encoding="utf-8")
        assert run(search, folder, "status")[0] == 64
        settings.write_text(good, encoding="utf-8")

        search.check("the center's log", (world.folder / "center.log").read_bytes())
        search_files(search, folder)
        search_center(search, world.center_folder)
    assert search.searched > 40


def search_center(search: Search, folder: Path) -> None:
    """The center keeps content in packs and, to judge order, first and last keys in its catalog; else nothing."""
    content = {name: search.secrets.pop(name) for name in ("a cell", "a key", "a key that is there twice")}
    search_files(search, folder)
    search.secrets |= content
    for path in (folder / "ledger").rglob("*"):
        if path.is_file():
            search.check(path.name, path.read_bytes())
    with Center.open(folder) as center:
        assert repr(center.units.secrets(UNIT, "his")).count("=") <= 1
