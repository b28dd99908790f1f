# SPDX-License-Identifier: Apache-2.0
"""An agent's statement key gives way to another: with a line, without one, cut off at any step; and what stays provable.

The old key is at hand: both sign, and nothing is interrupted. That a lost one is replaced by enrolment is in
`test_lost_folders`; here, that it stays so after a change.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import agent.acts.joining
import agent.acts.road
from agent.app import Agent
from agent.cli.main import make_program
from agent.errors import CenterRefusedError, KeyChangeError
from agent.identity import Identity
from agent.journal import Journal, State
from agent.media.order import Choice, Wish
from agent.outcome import KeyChange, Outcome, Stage
from agent.snapshot.progress import Silent
from center.app import CATALOG_NAME, Center
from center.audit.audit import audit
from center.audit.opening import open_audited
from center.certify.certify import find_passages, make_bundle, make_policy, parse_key
from center.registry.rebuild import rebuild_catalog
from evidence.digest import Sha256
from evidence.manifest.statement import GapStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.rows.line import Token
from evidence.verify.policy import Policy, parse_policy
from evidence.verify.report import Outcome as Verdict
from evidence.verify.verify import verify_bundle
from tests.builders.world import World, check_chain, check_kept, make_hospital, read_back, run_sql, sqlite_source
from tests.fakes.agent import NOW, FakeAgent

UNIT = "X013"
OTHER = "Y002"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World.make(tmp_path) as world:
        for name in ("his", "lis"):
            make_hospital(tmp_path / f"{name}.db", visits=300)
        yield world


def sources(world: World) -> str:
    return "".join(sqlite_source(name, world.folder / f"{name}.db") for name in ("his", "lis"))


def edit(world: World, name: str, text: str) -> None:
    run_sql(world.folder / f"{name}.db", "UPDATE 患者 SET 姓名 = ? WHERE 编号 = 3", text)


def replace_key(folder: Path) -> KeyChange:
    with Agent.open(folder) as opened:
        return opened.replace_key(Silent())


def private_keys(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "keys").iterdir())


def no_blob(_: Token) -> bytes | None:
    return None


def policy_of(center: Center) -> Policy:
    units = center.units.list()
    passages = find_passages(units, center.catalog.statements())
    return parse_policy(make_policy(center.ledger.log_key, center.operator.key, units, passages).encode())


def check_proof(center: Center, sequence: int, name: str = "his") -> None:
    """A record of a snapshot is proven to a stranger, under the policy that the center gives now."""
    day = center.open_snapshot(UNIT, name, sequence)
    bundle = make_bundle(day, center.ledger, [("患者", parse_key(day.table("患者").schema, ["3"]))])
    report = verify_bundle(bundle, policy_of(center), no_blob)
    assert report.verdict is Verdict.HOLDS, [step for step in report.steps if step.outcome is not Verdict.HOLDS]


def check_audit(world: World) -> None:
    assert [finding for finding in audit(open_audited(world.center_folder)).findings if not finding.is_note] == []


def test_a_key_is_replaced_and_everything_before_and_after_is_proven(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        other = world.add_agent(center, OTHER, sqlite_source("his", world.folder / "lis.db"))
        for name in ("his", "lis"):
            world.snapshot(UNIT, name)
        edit(world, "lis", "waits")
        with Agent.open(folder) as opened:
            opened.snapshot("lis", Silent(), send=False)  # signed by the old key, and not sent yet
        old = center.units.get(UNIT).statement_key

        change = replace_key(folder)

        assert (change.old, change.is_known, change.trouble) == (old, True, None)
        assert center.units.get(UNIT).statement_key == change.new != old
        edit(world, "his", "after")
        outcomes = [world.snapshot(UNIT, name) for name in ("his", "lis")]
        assert check_chain(center, UNIT, "his") == ["snapshot", "key", "snapshot"]
        assert check_chain(center, UNIT, "lis") == ["snapshot", "snapshot", "key", "snapshot"]
        assert Identity.open(folder).statement.key == change.new
        assert private_keys(folder) == ["cosigner.pem", "statement.pem"], "the old key is still there"
        for name, outcome in zip(("his", "lis"), outcomes, strict=True):
            assert read_back(center, UNIT, name) == outcome.rows
            check_kept(center, folder, UNIT, name)
        with Agent.open(other) as opened:  # another unit's cosignature proves the time
            opened.snapshot("his", Silent())
        for sequence in (1, 3):
            check_proof(center, sequence)
        for sequence in (1, 2, 4):
            check_proof(center, sequence, "lis")
    check_audit(world)


def test_a_policy_bounds_the_old_key_by_the_statement_that_replaced_it(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
        change = replace_key(folder)
        world.snapshot(UNIT)
        world.snapshot(UNIT, "lis")
        trust = policy_of(center).trust
    assert [key.key for key in trust.keys_for(UNIT, "his", 1)] == [change.old, change.new]
    assert [key.key for key in trust.keys_for(UNIT, "his", 2)] == [change.old, change.new]
    assert [key.key for key in trust.keys_for(UNIT, "his", 3)] == [change.new]
    assert [key.key for key in trust.keys_for(UNIT, "lis", 1)] == [change.new], "of lis the old key has signed nothing"


def test_content_that_was_registered_under_the_old_key_is_stored_after_the_change(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
    for day in ("one", "two"):  # the line is down; when it is up, statements go before their packs
        edit(world, "his", day)
        with Agent.open(folder) as opened:
            opened.snapshot("his", Silent(), send=False)
    assert not replace_key(folder).is_known
    with world.serving() as center:
        with Agent.open(folder) as opened:
            assert [outcome.trouble for outcome in opened.send(Silent())] == [None] * 3
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "snapshot", "key"]
        assert [entry.level for entry in check_kept(center, folder, UNIT, "his")] == ["stored"] * 3 + ["-"]


def test_a_change_that_waits_outlasts_the_snapshot_before_it_that_is_given_up(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))
        world.snapshot(UNIT)
    edit(world, "his", "coded against what the center has lost")
    with Agent.open(folder) as opened:
        opened.snapshot("his", Silent(), send=False)
    assert not replace_key(folder).is_known
    shutil.rmtree(folder / "spool" / "his" / "kept")
    for path in (world.center_folder / "store" / "packs").rglob("*.pack"):
        path.unlink()
    with Center.open(world.center_folder) as center:
        center.catalog.close()
        rebuild_catalog(world.center_folder / CATALOG_NAME, center.store, center.ledger, center.units)
    with world.serving() as center:
        with Agent.open(folder) as opened:
            assert [type(outcome.trouble) for outcome in opened.send(Silent())] == [CenterRefusedError] * 2
        outcome = world.snapshot(UNIT)
        kinds = check_chain(center, UNIT, "his")
        assert (kinds[0], kinds[-1], set(kinds)) == ("snapshot", "snapshot", {"snapshot", "key"})
        assert read_back(center, UNIT, "his") == outcome.rows
        assert center.units.get(UNIT).statement_key == Identity.open(folder).statement.key


def test_without_a_line_the_change_waits_and_what_is_sent_next_completes_it(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
    change = replace_key(folder)
    assert not change.is_known
    assert change.trouble is not None
    assert replace_key(folder).new == change.new, "the change that waits was not gone on with"
    edit(world, "his", "by the new key")
    with Agent.open(folder) as opened:
        assert opened.snapshot("his", Silent(), send=False).stage is Stage.SPOOLED
    with world.serving() as center:
        with Agent.open(folder) as opened:
            assert all(outcome.trouble is None for outcome in opened.send(Silent()))
        assert check_chain(center, UNIT, "his") == ["snapshot", "key", "snapshot"]
        assert center.units.get(UNIT).statement_key == change.new
        world.snapshot(UNIT)
        assert private_keys(folder) == ["cosigner.pem", "statement.pem"]


def go_on_elsewhere(world: World, folder: Path, act: Callable[[], object]) -> None:
    """Do `act` with the folder, then put the folder back as it was before."""
    copy = world.folder / "yesterday"
    shutil.copytree(folder, copy)
    act()
    shutil.rmtree(folder)
    copy.rename(folder)


def change_without_line(world: World, folder: Path) -> KeyChange:
    """Replace the key while the center, which is up, cannot be reached."""
    port, world.line.target = world.line.target, 1
    world.line.cut()
    change = replace_key(folder)
    world.line.target = port
    assert not change.is_known
    return change


def send_all(folder: Path) -> list[Outcome]:
    with Agent.open(folder) as opened:
        return opened.send(Silent())


def take(folder: Path) -> Sha256:
    """Take a snapshot that waits; give its digest."""
    with Agent.open(folder) as opened:
        outcome = opened.snapshot("his", Silent(), send=False)
        return opened.journal.get("his", outcome.sequence).digest


def check_changed(world: World, center: Center, folder: Path, kinds: list[str]) -> None:
    """The chain has these kinds, all of it is kept, and the key with which the agent signs is the unit's."""
    outcome = world.snapshot(UNIT)
    assert check_chain(center, UNIT, "his") == [*kinds, "snapshot"]
    assert read_back(center, UNIT, "his") == outcome.rows
    check_kept(center, folder, UNIT, "his")
    with Agent.open(folder) as opened:
        opened.greet()
    assert center.units.get(UNIT).statement_key == Identity.open(folder).statement.key
    assert private_keys(folder) == ["cosigner.pem", "statement.pem"], "the change is not over for the agent"
    other = world.add_agent(center, OTHER, sqlite_source("his", world.folder / "lis.db"))
    with Agent.open(other) as opened:  # another unit's cosignature proves the time
        opened.snapshot("his", Silent())
    for sequence, kind in enumerate([*kinds, "snapshot"], 1):
        if kind == "snapshot":
            check_proof(center, sequence)


def test_a_change_that_waits_is_stated_behind_what_another_copy_of_the_folder_has_sent(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
        edit(world, "his", "by the other copy")
        go_on_elsewhere(world, folder, lambda: world.snapshot(UNIT))
        change = change_without_line(world, folder)
        edit(world, "his", "by the new key")
        waiting = take(folder)

        assert all("older copy" in str(outcome.trouble) for outcome in send_all(folder))

        assert center.units.get(UNIT).statement_key == change.new
        check_changed(world, center, folder, ["snapshot", "snapshot", "key", "gap"])
        gap = parse_statement(parse_note(center.catalog.statement(UNIT, "his", 4).note).text)
        assert isinstance(gap, GapStatement)
        assert gap.given_up == (waiting,), "the change is not given up"
    check_audit(world)


def test_a_chain_that_goes_on_under_the_new_key_without_the_change_has_left_the_old_one(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        for name in ("his", "lis"):
            world.snapshot(UNIT, name)
        edit(world, "his", "by the other copy")
        go_on_elsewhere(world, folder, lambda: world.snapshot(UNIT))
        change = change_without_line(world, folder)
        for name in ("lis", "his"):  # the first makes the key the unit's, and the old one goes
            with Agent.open(folder) as opened:
                opened.send(Silent(), sources=[name])
        assert check_chain(center, UNIT, "his") == ["snapshot", "snapshot", "gap"]
        trust = policy_of(center).trust
        assert [key.key for key in trust.keys_for(UNIT, "his", 2)] == [change.old, change.new]
        assert [key.key for key in trust.keys_for(UNIT, "his", 3)] == [change.new]
        assert [key.key for key in trust.keys_for(UNIT, "his", 4)] == [change.new]
    check_audit(world)


def test_two_copies_of_a_folder_that_make_the_same_change_state_it_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
        with monkeypatch.context() as patch, pytest.raises(Cut):
            patch.setattr(agent.acts.joining, "state_key_change", cut_here)
            replace_key(folder)  # the key is made, and both copies have it

        def change_and_go_on() -> None:
            assert replace_key(folder).is_known
            world.snapshot(UNIT)

        go_on_elsewhere(world, folder, change_and_go_on)
        change_without_line(world, folder)
        send_all(folder)
        check_changed(world, center, folder, ["snapshot", "key", "snapshot", "gap"])
    check_audit(world)


def test_a_change_that_waits_outlasts_the_loss_of_the_journal(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
        change = change_without_line(world, folder)
        for path in folder.glob("journal.sqlite*"):
            path.unlink()
        check_changed(world, center, folder, ["snapshot", "key", "gap"])
        assert center.units.get(UNIT).statement_key == change.new
    check_audit(world)


def test_a_source_that_begins_while_a_change_waits_begins_with_it(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT, "lis")
    change = replace_key(folder)
    with world.serving() as center:
        check_changed(world, center, folder, ["key"])
        assert center.units.get(UNIT).statement_key == change.new
    check_audit(world)


def test_a_source_that_begins_on_media_while_a_change_waits_begins_with_it(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT, "lis")
    change = replace_key(folder)
    with Agent.open(folder) as opened:
        opened.write_media("his", Wish(world.folder / "disc", 1 << 30), Choice.NEW, Silent())
    with world.serving() as center:
        assert [outcome.trouble for outcome in send_all(folder)] == [None] * 3
        assert check_chain(center, UNIT, "his") == ["key", "snapshot"]
        assert center.units.get(UNIT).statement_key == change.new


class Cut(BaseException):
    """The power is gone."""


def cut_here(*_: object) -> None:
    raise Cut


STEPS: dict[str, object] = {
    "make_key": agent.acts.joining,
    "state_key_change": agent.acts.joining,
    "settle_key": agent.acts.road,
    "finish_key": agent.acts.road,
    "mark_receipted": Journal,
}
"""Each step, and whose it is."""


@pytest.mark.parametrize("step", STEPS)
def test_a_cut_at_any_step_of_a_change_leaves_an_agent_that_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After each step; for the receipt: before, so that the center knows the new key and the agent does not know that."""
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
        place = STEPS[step]
        act = getattr(place, step)

        def cut(*arguments: object, **more: object) -> None:
            if step != "mark_receipted":
                act(*arguments, **more)
            raise Cut

        monkeypatch.setattr(place, step, cut)
        with pytest.raises(Cut):
            replace_key(folder)
            world.snapshot(UNIT)
        monkeypatch.setattr(place, step, act)
        edit(world, "his", step)
        outcome = world.snapshot(UNIT)
        assert read_back(center, UNIT, "his") == outcome.rows
        change = replace_key(folder)
        assert change.is_known
        world.snapshot(UNIT)
        assert center.units.get(UNIT).statement_key == change.new == Identity.open(folder).statement.key
        kinds = check_chain(center, UNIT, "his")
        assert kinds.count("key") == len(center.units.get(UNIT).keys) - 1
        check_kept(center, folder, UNIT, "his")


def test_keys_are_replaced_again_and_again_and_a_reinstalled_agent_finds_its_chain(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        world.snapshot(UNIT)
        for _ in range(3):
            assert replace_key(folder).is_known
        world.snapshot(UNIT)
        shutil.rmtree(folder)
        world.enroll(center.units.rekey(UNIT).encode(), folder, sources(world))
        outcome = world.snapshot(UNIT)
        assert check_chain(center, UNIT, "his") == ["snapshot", "key", "key", "key", "snapshot", "gap", "snapshot"]
        assert read_back(center, UNIT, "his") == outcome.rows
        assert replace_key(folder).is_known
        world.snapshot(UNIT)
    check_audit(world)


def test_an_agent_that_has_taken_nothing_has_no_chain_to_state_it_in(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sources(world))
        with pytest.raises(KeyChangeError) as caught:
            replace_key(folder)
        assert "snapshot first" in caught.value.hint
        world.snapshot(UNIT)
        with Agent.open(folder) as opened:
            assert [entry.state for entry in opened.journal.all_of("his")] == [State.STORED]


def test_the_command_tells_both_keys_and_whether_the_center_knows(capsys: pytest.CaptureFixture[str]) -> None:
    from evidence.keys.key import parse_vkey
    from tests.builders.receivers import LOG, OPERATOR

    assert parse_vkey(LOG.key.vkey) == LOG.key
    for is_known, code in ((True, 0), (False, 2)):
        fake = FakeAgent(key_change=KeyChange(LOG.key, OPERATOR.key, is_known))
        program = make_program(fake.open, lambda: NOW)
        assert program.main(["-C", "folder", "--lang", "en", "key", "replace"]) == code
        said = capsys.readouterr().out
        assert f"old key: {LOG.key.vkey}\nnew key: {OPERATOR.key.vkey}\n" in said
        assert ("waits" in said or "wait in the spool" in said) is not is_known
