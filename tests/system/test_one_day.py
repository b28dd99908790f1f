# SPDX-License-Identifier: Apache-2.0
"""All of it as one story: two days of a hospital, an edit at night, and what a stranger can say about it afterwards.

In one process, through the public classes; each paragraph is a promise of the design. Read it as documentation.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from agent.app import Agent
from agent.snapshot.progress import Silent
from center.certify.certify import make_bundle, make_policy, parse_key, write_bundle
from center.compare import Action, Presence, RowChange, TableDiff, diff_snapshots
from center.restore import open_target, restore
from evidence.note.signed import parse_note
from evidence.rows.line import Token
from evidence.verify.bundle import parse_bundle
from evidence.verify.policy import parse_policy
from evidence.verify.report import Outcome
from evidence.verify.verify import verify_bundle, verify_receipt_file
from tests.builders.world import World, check_chain, make_hospital, run_sql, sqlite_source

BEFORE = "第 217 次查房：一般情况可。"
AFTER = "第 217 次查房：患者已知情同意。"


def no_blob(_folder: str, _token: Token) -> None:
    """Have no large cells at hand: the rows of this story have none."""


def test_a_day_is_kept_and_an_edit_is_found_proven_and_undone(tmp_path: Path) -> None:
    with World.make(tmp_path) as world, world.serving() as center:
        # Two units join. The hospital's database is live; the civil affairs bureau has a folder of scans.
        his = make_hospital(tmp_path / "his.db")
        scans = tmp_path / "scans"
        scans.mkdir()
        (scans / "结婚登记 1.tif").write_bytes(b"II*\0" + bytes(5_000))
        world.add_agent(center, "X013", sqlite_source("his", his))
        world.add_agent(center, "X027", f"  - {{name: scans, kind: files, path: {scans}}}\n")

        # Day 1. Whoever writes meanwhile is not in the way: one consistent state is read, sent, re-hashed, and logged.
        with closing(sqlite3.connect(his)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("INSERT INTO ward VALUES ('急诊', 12)")
            first = world.snapshot("X013")
            writer.rollback()
        world.snapshot("X027", "scans")
        assert (first.sequence, first.tables, first.rows) == (1, 3, 2_303)

        # At night somebody edits an old record. The database keeps no trace of it.
        run_sql(his, "UPDATE 病程记录 SET 内容 = ? WHERE 编号 = 217", AFTER)
        with Agent.open(world.agent_folder("X013")) as agent:
            compared = agent.compare("his", 1, Silent())
        assert not compared.is_equal
        assert [t.name for t in compared.tables if t.verdict.value != "equal"] == ["病程记录"]

        # Day 2 sends only what changed, and continues the chain. The other unit cosigns a checkpoint over it.
        second = world.snapshot("X013")
        assert 0 < second.sent_bytes < first.sent_bytes / 10
        assert check_chain(center, "X013", "his") == ["snapshot", "snapshot"]
        world.snapshot("X027", "scans")
        cosigners = {
            line.name
            for raw in center.ledger.find_checkpoints(above=second.log_index or 0, cosigned_only=True)
            for line in parse_note(raw).signatures
        }
        assert "X027" in cosigners

        # Comparing the days shows the edit, before → after, and nothing else.
        days = [center.open_snapshot("X013", "his", n) for n in (1, 2)]
        events = list(diff_snapshots(*days))
        heads = {e.name: e.presence for e in events if isinstance(e, TableDiff)}
        assert heads == {"ward": Presence.EQUAL, "患者": Presence.EQUAL, "病程记录": Presence.CHANGED}
        (change,) = [e for e in events if isinstance(e, RowChange)]
        assert (change.action, change.key) == (Action.UPDATED, (b"217",))
        (cell,) = change.cells
        assert cell.before == f"t:{BEFORE}".encode()  # SQLite's columns take any kind; `t:` says that this was text
        assert cell.after == f"t:{AFTER}".encode()

        # A certificate for that record alone, of day 1, as it was before the edit.
        day = days[0]
        key = parse_key(day.table("病程记录").schema, ["217"])
        raw = make_bundle(day, center.ledger, [("病程记录", key)])
        bundle = tmp_path / "out" / "217.jinsuo"
        bundle.parent.mkdir()
        write_bundle(bundle, raw, day)
        policy = parse_policy(make_policy(center.ledger.log_key, center.operator.key, center.units.list()).encode())
        assert [row.line.split(b"\t")[0] for row in parse_bundle(raw).rows] == [b"217"], "only hashes of the neighbours"

        # A stranger verifies it offline, with a policy file: it holds; the other unit's cosignature proves the time.
        report = verify_bundle(bundle.read_bytes(), policy, no_blob)
        assert report.verdict is Outcome.HOLDS, [s for s in report.steps if s.outcome is not Outcome.HOLDS]
        (shown,) = report.rows
        assert dict(shown.cells)["内容"] == f"t:{BEFORE}"

        # One flipped bit in the record, and it does not hold.
        forged = bytearray(raw)
        forged[raw.index(b'"line":"') + 20] ^= 1
        assert verify_bundle(bytes(forged), policy, no_blob).verdict is not Outcome.HOLDS

        # The agent's receipt, as it came on day 1: nobody else had cosigned yet; it rests on the center's word.
        assert first.receipt_path is not None
        assert verify_receipt_file(first.receipt_path.read_bytes(), policy).verdict is Outcome.UNKNOWN

        # The hospital gets day 1 back, and the copy is proven equal: same roots, table by table.
        copy = tmp_path / "out" / "his.db"
        target = open_target(f"sqlite:///{copy}")
        try:
            restored = restore(day, target)
        finally:
            target.close()
        assert restored.is_equal, [(t.name, t.error, t.differences) for t in restored.tables]
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("SELECT 内容 FROM 病程记录 WHERE 编号 = 217").fetchone() == (BEFORE,)
            assert db.execute("SELECT length(影像) FROM 病程记录 WHERE 编号 = 9").fetchone() == (200_000,)
            assert db.execute("SELECT count(*) FROM ward").fetchone() == (3,)
