# SPDX-License-Identifier: Apache-2.0
"""Whoever would pass a TLS key of his own off as the center's next one; and the way of a true one."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from agent.app import Agent
from agent.cli.tls import TlsAccept
from agent.errors import CenterRefusedError, PinError
from agent.identity import ANNOUNCED_NAME, FILE_NAME, Identity, parse_address
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.app import Center
from center.errors import ConflictError
from center.receive.tls import ANNOUNCED_NAME as SERVED_NAME
from center.receive.tls import TlsFiles, announce_key, create_tls, read_spki_sha256, take_next
from evidence.digest import Sha256
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.wire.announcement import TlsAnnouncement, encode_announcements, sign_announcement
from tests.builders.receivers import LOG, NOW, ORIGIN, Running, run_receiver
from tests.builders.world import World, check_chain, make_hospital, read_back, run_sql, sqlite_source

UNIT = "X013"
THIEF = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(reversed(range(32))))


def announce(center: Running, signer: Ed25519Signer = LOG) -> Sha256:
    """Announce a new key as of today; give its hash."""
    return announce_key(center.folder / "tls", "127.0.0.1", NOW, NOW, signer, lambda _: None).spki


def call(identity: Identity) -> None:
    with identity.connect(lambda: None) as road:
        road.latest("his")


def pinned(folder: Path) -> Sha256:
    return parse_address((folder / FILE_NAME).read_bytes()).pin


def test_an_agent_learns_of_a_new_key_in_passing_and_then_follows_it(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        old = identity.address.pin
        new = announce(center)
        call(identity)
        assert (identity.pins.announced(), pinned(tmp_path / "agent")) == ((new,), old)
        port = center.port
    assert take_next(tmp_path / "center" / "tls", LOG.key, NOW) is not None
    with run_receiver(tmp_path / "center", port):
        call(Identity.open(tmp_path / "agent"))
        assert pinned(tmp_path / "agent") == new
        assert Identity.open(tmp_path / "agent").pins.announced() == ()
    # Whoever has stolen the old key is a stranger from now on.
    kept = TlsFiles.within(tmp_path / "center" / "tls" / "old" / old.hex()[:16])
    for stolen, used in zip((kept.key, kept.certificate), ("center.key", "center.crt"), strict=True):
        shutil.copy(stolen, tmp_path / "center" / "tls" / used)
    with run_receiver(tmp_path / "center", port), pytest.raises(PinError):
        call(Identity.open(tmp_path / "agent"))


def test_an_agent_that_was_away_for_two_changes_finds_its_way_if_it_calls_before_the_first_is_used(
    tmp_path: Path,
) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        first = announce(center)
        call(identity)
        port = center.port
    tls = tmp_path / "center" / "tls"
    take_next(tls, LOG.key, NOW)
    with run_receiver(tmp_path / "center", port) as center:
        second = announce(center)
        call(Identity.open(tmp_path / "agent"))  # by the first, of which it knows; and learns of the second
    assert pinned(tmp_path / "agent") == first
    take_next(tls, LOG.key, NOW)
    with run_receiver(tmp_path / "center", port):
        call(Identity.open(tmp_path / "agent"))
        assert pinned(tmp_path / "agent") == second


def test_a_key_that_the_log_has_not_announced_is_refused_and_the_old_one_goes_on(tmp_path: Path) -> None:
    """A thief on the center's machine who has the TLS key and not the log's."""
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        announce(center, THIEF)
        call(identity)
        assert identity.pins.announced() == ()
        assert not (tmp_path / "agent" / ANNOUNCED_NAME).exists()
        with pytest.raises(CenterRefusedError, match="does not hold"):
            identity.pins.learn((center.folder / "tls" / SERVED_NAME).read_bytes())
        port = center.port
    shutil.rmtree(tmp_path / "center" / "tls" / "old", ignore_errors=True)
    for name in ("center.key", "center.crt"):
        shutil.copy(tmp_path / "center" / "tls" / "next" / name, tmp_path / "center" / "tls" / name)
    with run_receiver(tmp_path / "center", port), pytest.raises(PinError):
        call(Identity.open(tmp_path / "agent"))


def test_an_older_announcement_shown_again_does_not_bring_an_old_key_back(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        old = read_spki_sha256(center.folder / "tls" / "center.crt")
        announce(center)
        older = (center.folder / "tls" / SERVED_NAME).read_bytes()
        take_next(center.folder / "tls", LOG.key, NOW)
        port = center.port
    with run_receiver(tmp_path / "center", port) as center:
        identity = center.enroll(tmp_path / "agent")
        back = sign_announcement(TlsAnnouncement(ORIGIN, Sha256(bytes(32)), old, NOW), LOG).encode()
        for raw in (older, encode_announcements([back])):
            identity.pins.learn(raw)
            assert identity.pins.announced() == ()
            (tmp_path / "agent" / ANNOUNCED_NAME).write_bytes(raw)  # as if somebody had put it there
            assert Identity.open(tmp_path / "agent").pins.announced() == ()


def test_a_damaged_file_of_announcements_announces_nothing_and_stops_nothing(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        new = announce(center)
        call(identity)
        raw = (tmp_path / "agent" / ANNOUNCED_NAME).read_bytes()
        for damaged in (raw[:-9], b"", b"\xff", raw.replace(b"jinsuo/tls@v1", b"jinsuo/tls@v2")):
            (tmp_path / "agent" / ANNOUNCED_NAME).write_bytes(damaged)
            assert identity.pins.announced() == ()
        call(identity)  # and it is learned again
        assert identity.pins.announced() == (new,)


def test_an_announced_key_that_is_not_in_use_yet_is_no_key_of_the_centers_for_others(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        announce(center)
        with pytest.raises(ConflictError, match="announced already"):
            announce(center)
        assert take_next(center.folder / "tls", LOG.key, NOW - timedelta(seconds=1)) is None
        create_tls(tmp_path / "thief", "127.0.0.1", NOW)
        identity = center.enroll(tmp_path / "agent")
        call(identity)
        assert read_spki_sha256(tmp_path / "thief" / "center.crt") not in identity.pins.announced()


def test_a_cut_between_key_and_certificate_is_mended_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = tmp_path / "tls"
    create_tls(tls, "127.0.0.1", NOW)
    new = announce_key(tls, "127.0.0.1", NOW, NOW, LOG, lambda _: None).spki
    from center.receive import tls as module

    def die(path: Path, data: bytes, mode: int = 0o666) -> None:
        if path.name == "center.crt":
            raise KeyboardInterrupt
        original(path, data, mode)

    original = module.write_over
    monkeypatch.setattr(module, "write_over", die)
    with pytest.raises(KeyboardInterrupt):
        take_next(tls, LOG.key, NOW)
    monkeypatch.setattr(module, "write_over", original)
    assert take_next(tls, LOG.key, NOW) is not None
    module.check_tls(TlsFiles.within(tls))
    assert read_spki_sha256(tls / "center.crt") == new
    assert (tls / "center.key").stat().st_mode & 0o077 == 0
    (kept,) = (tls / "old").iterdir()
    module.check_tls(TlsFiles.within(kept))


@pytest.fixture
def world(tmp_path: Path):  # type: ignore[no-untyped-def]  # a generator of a World
    with World.make(tmp_path) as world:
        make_hospital(tmp_path / "his.db", visits=300)
        yield world


def test_the_nightly_runs_go_on_over_a_change_of_the_key_which_is_logged(world: World) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))
        world.snapshot(UNIT)
        announcement = center.announce_tls(center.clock(), "operator")
        assert b"tls key change" in center.ledger.entry(center.ledger.size - 1)
        world.snapshot(UNIT)
    with world.serving() as center:
        run_sql(world.folder / "his.db", "UPDATE 患者 SET 姓名 = '改' WHERE 编号 = 3")
        outcome = world.snapshot(UNIT)
        assert pinned(folder) == announcement.spki
        assert read_back(center, UNIT, "his") == outcome.rows
        check_chain(center, UNIT, "his")
    with world.serving() as center:  # the certificate alone: nobody notices
        center.renew_tls()
    with world.serving():
        assert world.snapshot(UNIT).stage is Stage.STORED


def test_an_agent_that_missed_the_announcement_is_brought_it_by_a_person(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with world.serving() as center:
        folder = world.add_agent(center, UNIT, sqlite_source("his", world.folder / "his.db"))
        world.snapshot(UNIT)
    with Center.open(world.center_folder) as center:
        center.ledger.confirm()
        center.announce_tls(center.clock(), "operator")
    with world.serving() as center:
        with Agent.open(folder) as agent, pytest.raises(PinError) as caught:
            agent.snapshot("his", Silent())
        assert "tls accept" in caught.value.hint
        from agent.cli.main import make_program

        program = make_program(lambda _: None, center.clock)  # type: ignore[arg-type,return-value]  # not opened
        assert any(isinstance(command, TlsAccept) for command in program.commands)
        words = ["-C", str(folder), "--lang", "en", "tls", "accept"]
        assert program.main([*words, str(world.center_folder / "tls" / SERVED_NAME)]) == 0
        assert "accepted: " in capsys.readouterr().out
        assert program.main([*words, str(folder / "agent.yaml")]) != 0
        with Agent.open(folder) as agent:
            assert agent.send(Silent())[-1].stage is Stage.STORED
