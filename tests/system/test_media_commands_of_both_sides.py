# SPDX-License-Identifier: Apache-2.0
"""Offline media by the commands that people type, as processes: from the agency to the archives and back, beside the daemon."""

import json
import os
import subprocess
from pathlib import Path

from tests.builders.world import AGENT_COMMAND, CENTER_COMMAND, ROOT, World, make_hospital, run_sql, sqlite_source


def run(words: tuple[str, ...], folder: Path, *line: str) -> tuple[int, dict[str, object], str]:
    done = subprocess.run(
        [*words, "-C", str(folder), "--json", "--lang", "en", *line], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "JINSUO_LANG": "en"}, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_disc_goes_there_and_its_receipt_comes_back(tmp_path: Path) -> None:
    with World.make(tmp_path / "world") as world:
        database = make_hospital(world.folder / "his.db", 300)
        with world.serving() as center:
            agent = world.add_agent(center, "X013", sqlite_source("his", database))
            out, back = world.folder / "out", world.folder / "back"
            code, written, _ = run(
                AGENT_COMMAND, agent, "media", "write", "his", "--to", str(out), "--iso", "--copies", "A,B"
            )
            assert (code, written["volumes"], len(written["media"])) == (0, 1, 2)  # type: ignore[arg-type]  # a list
            assert sorted(path.name for path in out.iterdir()) == [
                f"{written['batch']}-01of01-A.iso", f"{written['batch']}-01of01-B.iso", f"{written['batch']}-slips.html",
            ]  # fmt: skip
            page = (out / f"{written['batch']}-slips.html").read_text(encoding="utf-8")
            assert all(f"{written['batch']}-01of01-{copy}" in page for copy in "AB") and "不得粘贴标签" in page
            run_sql(database, "UPDATE ward SET beds = 3")
            code, night, _ = run(AGENT_COMMAND, agent, "snapshot", "his")
            assert night["snapshots"][0]["level"] == "registered"  # type: ignore[index]  # JSON

            # Beside the daemon, which holds the ledger's confirmation.
            code, reading, _ = run(CENTER_COMMAND, world.center_folder, "media", "read", str(out), "--out", str(back))
            assert (code, [medium["fate"] for medium in reading["media"]]) == (0, ["taken", "known"])  # type: ignore[attr-defined]  # JSON
            (receipts,) = back.glob("receipts-*.note")
            code, brought, _ = run(AGENT_COMMAND, agent, "media", "receipt", str(receipts))
            assert (code, brought["stored"], brought["waiting"]) == (2, [1], 1)
            code, sent, _ = run(AGENT_COMMAND, agent, "send")
            assert code == 0 and [each["level"] for each in sent["snapshots"]] == ["stored"]  # type: ignore[attr-defined]  # JSON
            code, listed, _ = run(AGENT_COMMAND, agent, "media", "list")
            assert [each["state"] for each in listed["media"]] == ["stored"]  # type: ignore[attr-defined]  # JSON
            center.replay.catch_up()
            checks = [entry for entry in center.ledger.entries() if b"event medium read" in entry]
            assert len(checks) == 1 and b"X013-SJ-" in checks[0]
