# SPDX-License-Identifier: Apache-2.0
"""A unit that no line ever leads to: enrolled by two files, its machine lost, enrolled anew, its chain goes on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.app import Agent
from agent.errors import EnrolmentError
from agent.snapshot.progress import Silent
from center.errors import ForbiddenError, RefusedError
from tests.builders.drops import Drop, Opened, check_stored
from tests.builders.world import (
    AGENT_COMMAND,
    CENTER_COMMAND,
    ROOT,
    World,
    check_chain,
    make_hospital,
    run_sql,
    sqlite_source,
)


@pytest.fixture
def drop(drop_box: Drop) -> Drop:
    """Give a drop box and a hospital's database; nobody is enrolled yet."""
    make_hospital(drop_box.folder / "his.db", 50)
    return drop_box


def _new_agent(drop: Drop, name: str) -> Path:
    folder = drop.folder / name
    folder.mkdir()
    settings = (
        f"spool: {{min_free: 0 MiB}}\nroad: {drop.road}\nsources:\n{sqlite_source('his', drop.folder / 'his.db')}"
    )
    (folder / "agent.yaml").write_text(settings, encoding="utf-8")
    return folder


def test_a_lost_machine_is_enrolled_anew_by_files_and_its_chain_goes_on(drop: Drop, center: Opened) -> None:
    drop.enroll(center[0], drop.folder / "his.db")
    drop.snapshot()
    drop.exchange(center[1])
    with drop.agent() as agent:
        before = agent.journal.keys("his")
    shutil.rmtree(drop.agent_folder)
    folder = _new_agent(drop, drop.agent_folder.name)
    code = center[0].units.rekey("X013").encode()
    with Agent.open(folder, drop.clock) as agent:
        unit, answer = center[0].enroll_by_file(agent.request_enrolment(code))
        assert unit.sources == ("his",)
        done = agent.accept_enrolment(code, answer)
        after = agent.journal.keys("his")
    assert (done.unit, done.sources) == ("X013", ("his",))
    assert before is not None and after is not None
    assert (after.row_secret, after.storage_key) == (before.row_secret, before.storage_key)
    assert not (folder / "keys" / "recovery.key").exists()
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 3")
    drop.snapshot()
    drop.exchange(center[1])
    assert check_chain(center[0], "X013", "his") == ["snapshot", "gap", "snapshot"]
    with drop.agent() as agent:
        assert agent.send(Silent()) == []


def test_the_same_request_gets_such_an_answer_again_and_no_other_gets_one(drop: Drop, center: Opened) -> None:
    first, second = _new_agent(drop, "first"), _new_agent(drop, "second")
    code = center[0].units.add("X013", "医院").encode()
    with Agent.open(first, drop.clock) as agent, Agent.open(second, drop.clock) as other:
        request = agent.request_enrolment(code)
        assert agent.request_enrolment(code) == request
        center[0].enroll_by_file(request)
        size = center[0].ledger.size
        _, answer = center[0].enroll_by_file(request)
        assert center[0].ledger.size == size
        with pytest.raises(ForbiddenError, match="was used"):
            center[0].enroll_by_file(other.request_enrolment(code))
        with pytest.raises(EnrolmentError, match="not to this agent's request"):
            other.accept_enrolment(code, answer)
        with pytest.raises(EnrolmentError, match="cannot be used"):
            agent.accept_enrolment(center[0].units.add("Y002", "另一家").encode(), answer)
        assert not (second / "center.json").exists()
        assert agent.accept_enrolment(code, answer).unit == "X013"
        with pytest.raises(EnrolmentError, match="enrolled already"):
            agent.accept_enrolment(code, answer)


def test_who_does_not_know_the_code_is_not_enrolled(drop: Drop, center: Opened) -> None:
    folder = _new_agent(drop, "stranger")
    code = center[0].units.add("X013", "医院")
    guessed = type(code)(code.spki_pin, code.vkey_pin, bytes(16)).encode()
    elsewhere = type(code)(code.spki_pin, bytes(16), code.secret).encode()
    with Agent.open(folder, drop.clock) as agent:
        with pytest.raises(ForbiddenError):
            center[0].enroll_by_file(agent.request_enrolment(guessed))
        with pytest.raises(RefusedError, match="another center"):
            center[0].enroll_by_file(agent.request_enrolment(elsewhere))
        with pytest.raises(RefusedError, match="no request"):
            center[0].enroll_by_file(b"{}")
    assert center[0].units.get("X013").statement_key is None


def test_both_commands_do_it_and_the_first_bag_is_taken(drop: Drop, center: Opened) -> None:
    folder = _new_agent(drop, drop.agent_folder.name)
    code = drop.folder / "X013.code"
    code.write_text(center[0].units.add("X013", "医院").encode())
    center[0].close()

    def run(command: tuple[str, ...], at: Path, *words: str) -> str:
        done = subprocess.run(
            [*command, "-C", str(at), "--lang", "en", *words], cwd=ROOT, capture_output=True, text=True, check=False,
            env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    request, answer = str(drop.folder / "X013.request"), str(drop.folder / "X013.answer")
    run(AGENT_COMMAND, folder, "enroll", "--code", str(code), "--request", request)
    assert "X013 (医院) is enrolled" in run(
        CENTER_COMMAND, drop.folder / "center", "unit", "enroll-file", request, "--out", answer
    )
    assert "enrolled as X013" in run(AGENT_COMMAND, folder, "enroll", "--code", str(code), "--answer", answer)
    for path in (request, answer):
        assert code.read_text()[4:] not in Path(path).read_text()
    drop.snapshot()
    with drop.center() as (again, inbox):
        drop.exchange(inbox)
        check_stored(drop, again, 1)


def test_an_agent_enrolled_anew_over_a_line_for_a_day_has_its_secrets_for_the_road_without(tmp_path: Path) -> None:
    with World.make(tmp_path) as world, world.serving() as center:
        world.add_agent(center, "X013", sqlite_source("his", make_hospital(tmp_path / "his.db", 20)))
        world.snapshot("X013")
        with Agent.open(world.agent_folder("X013")) as agent:
            before = agent.journal.keys("his")
        shutil.rmtree(world.agent_folder("X013"))
        drop = Drop.in_folders(tmp_path)
        sources = sqlite_source("his", tmp_path / "his.db")
        world.enroll(center.units.rekey("X013").encode(), world.agent_folder("X013"), sources, drop.road)
        with Agent.open(world.agent_folder("X013")) as agent:
            after = agent.journal.keys("his")
            kinds = [entry.kind for entry in agent.journal.all_of("his")]
        assert before is not None and after is not None and after.row_secret == before.row_secret
        assert kinds == ["snapshot", "gap"]
