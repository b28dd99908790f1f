# SPDX-License-Identifier: Apache-2.0
"""Attacks through a drop box: whoever can write there gets nothing in, learns nothing, and stops nobody else."""

import json
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.errors import ReceiptError
from agent.identity import Identity
from agent.outcome import Stage
from center.app import Center
from center.errors import HeldError
from center.receive.inbox import Fate
from evidence.bag.envelope import BaggedPack, Envelope, read_envelope, sign_envelope
from evidence.bag.layout import ENVELOPE_PATH
from evidence.bag.read import BagReader
from evidence.bag.receipts import BagAnswer, Receipts, Refusal, StatementAnswer, sign_receipts
from evidence.digest import Sha256
from evidence.encode import encode_base64, encode_json, parse_base64
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.checkpoint import Checkpoint, sign_checkpoint
from evidence.note.signed import sign_note
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, seal_secrets
from tests.builders.drops import ORIGIN, SETTLE, Drop, Opened, check_stored, enroll_by_files, fates
from tests.builders.world import run_sql

STRANGER = Ed25519Signer.from_seed("X013", KeyType.ED25519, bytes(32))
pytestmark = pytest.mark.usefixtures("first_bag")


def _rewrite(bag: Path, signer: Ed25519Signer, **changes: object) -> None:
    """Sign another envelope for a bag."""
    path = bag / ENVELOPE_PATH
    _, envelope = read_envelope(path.read_bytes())
    values = {name: getattr(envelope, name) for name in Envelope.__slots__}
    path.write_bytes(sign_envelope(Envelope(**(values | changes)), signer))


def _other_unit(drop: Drop, center: Center) -> Identity:
    folder = drop.folder / "agent-Y002"
    folder.mkdir()
    return enroll_by_files(center, folder, "Y002")


def _by_a_stranger(drop: Drop, center: Center, bag: Path) -> None:
    _rewrite(bag, STRANGER)


def _by_another_unit(drop: Drop, center: Center, bag: Path) -> None:
    _rewrite(bag, _other_unit(drop, center).statement)


def _as_another_unit(drop: Drop, center: Center, bag: Path) -> None:
    _other_unit(drop, center)
    _rewrite(bag, Identity.open(drop.agent_folder).statement, unit="Y002")


def _of_nobody(drop: Drop, center: Center, bag: Path) -> None:
    _rewrite(bag, STRANGER, unit="Z999")


def _for_another_center(drop: Drop, center: Center, bag: Path) -> None:
    _rewrite(bag, Identity.open(drop.agent_folder).statement, origin="other.example/log")


def _of_a_disabled_unit(drop: Drop, center: Center, bag: Path) -> None:
    center.units.disable("X013")


def _with_a_link(drop: Drop, center: Center, bag: Path) -> None:
    (bag / "data" / "more").symlink_to("/etc/passwd")


def _with_a_pipe(drop: Drop, center: Center, bag: Path) -> None:
    os.mkfifo(bag / "data" / "packs" / "pipe")


def _with_another_checkpoint(drop: Drop, center: Center, bag: Path) -> None:
    other = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(32))
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, Sha256(bytes(32))), other).encode()
    _rewrite(bag, Identity.open(drop.agent_folder).statement, checkpoint=note)


@pytest.mark.parametrize(
    "forge",
    [
        _by_a_stranger, _by_another_unit, _as_another_unit, _of_nobody, _for_another_center, _of_a_disabled_unit, _with_a_link,
        _with_a_pipe, _with_another_checkpoint,
    ],
)  # fmt: skip
def test_a_bag_that_the_unit_did_not_send_to_this_center_gets_nothing_in(
    drop: Drop, center: Opened, forge: Callable[[Drop, Center, Path], None]
) -> None:
    (bag,) = drop.carry()
    forge(drop, center[0], bag)
    size = center[0].ledger.size
    (outcome,) = center[1].scan()
    assert outcome.fate is Fate.REFUSED, outcome
    assert center[0].ledger.size == size
    assert list(center[0].store.names("packs/")) == []
    assert list(drop.departures.iterdir()) == [], "whoever forged it gets no answer"
    reason = (drop.arrivals / "refused" / f"{bag.name}.reason.txt").read_text()
    assert reason.strip()
    assert (drop.arrivals / "refused" / bag.name).is_dir()


def test_a_forged_bag_does_not_stop_the_others(drop: Drop, center: Opened) -> None:
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 9")
    (bag,) = drop.carry()
    for number in range(3):
        forged = drop.arrivals / f"a-{number}"
        shutil.copytree(bag, forged)
        _rewrite(forged, STRANGER)
    (drop.arrivals / "b").mkdir()
    (drop.arrivals / "c").symlink_to("/etc")
    (drop.arrivals / "readme.txt").write_text("hello")
    assert sorted(fates(center[1].scan())) == [Fate.REFUSED] * 3 + [Fate.TAKEN, Fate.WAITS]
    drop.clock.now += SETTLE
    assert fates(center[1].scan()) == [Fate.REFUSED]
    drop.carry_back()
    drop.send()
    check_stored(drop, center[0], 1)


def test_a_bag_sealed_to_another_key_is_refused_and_its_unit_is_told(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    other = X25519PrivateKey.generate().public_key().public_bytes_raw()
    _rewrite(bag, Identity.open(drop.agent_folder).statement, sealing=other, key=bytes(80))
    assert fates(center[1].scan()) == [Fate.REFUSED]
    assert len(list(drop.departures.iterdir())) == 1


def test_other_secrets_for_a_known_source_are_refused_and_the_agent_says_so(drop: Drop, center: Opened) -> None:
    center[0].units.register_source("X013", "his", SourceSecrets(bytes(32), bytes(32)))
    drop.carry()
    assert fates(center[1].scan()) == [Fate.REFUSED]
    drop.carry_back()
    (outcome,) = drop.send()
    assert outcome.trouble is not None
    assert "JS-3103" in str(outcome.trouble)
    assert drop.stages() == [Stage.SPOOLED]
    assert drop.bags() == [], "what was refused is not put again each night"


def test_a_pack_swapped_for_another_of_the_same_bag_is_found(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    reader = BagReader(bag)
    (pack,) = reader.envelope.packs
    path = bag / "data" / "packs" / f"{pack.sealed}.pack"
    signer = Identity.open(drop.agent_folder).statement
    # The unit itself, with a pack under a name that is not its own.
    _rewrite(bag, signer, packs=(BaggedPack("0" * 64, pack.sealed, pack.size),))
    drop.clock.now += SETTLE
    center[1].scan()
    drop.clock.now += SETTLE
    (outcome,) = center[1].scan()
    assert [damage.path for damage in outcome.damages] == [f"data/packs/{path.name}"]
    assert list(center[0].store.names("packs/")) == []


def test_an_old_bag_does_not_confirm_a_center_that_was_restored_from_an_old_copy(drop: Drop, center: Opened) -> None:
    drop.exchange(center[1])
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 11")
    drop.snapshot()
    old_bag = drop.folder / "old"
    shutil.copytree(drop.bags()[0], old_bag)
    center[0].units.acknowledge("X013", center[0].ledger.size)
    center[0].close()
    copy = drop.folder / "copy"
    shutil.copytree(drop.folder / "center", copy)
    drop.clock.now += timedelta(hours=1)
    with drop.center() as (again, inbox):
        shutil.copytree(old_bag, drop.arrivals / old_bag.name)
        assert fates(inbox.scan()) == [Fate.WAITS]
        with pytest.raises(HeldError):
            again.ledger.check_confirmed()
        # One that was made after the start is the agent's word of now.
        drop.clock.now += timedelta(days=8)
        drop.send()
        assert len(drop.bags()) == 2
        shutil.rmtree(drop.bags()[0])
        shutil.rmtree(drop.arrivals / old_bag.name)
        assert fates(drop.exchange(inbox)) == [Fate.TAKEN]
        check_stored(drop, again, 2)


def test_a_bag_that_has_seen_more_stops_a_restored_center_before_it_signs(drop: Drop, center: Opened) -> None:
    center[0].close()
    old = drop.folder / "old"
    shutil.copytree(drop.folder / "center", old)
    with drop.center() as (newer, inbox):
        drop.exchange(inbox)
        check_stored(drop, newer, 1)
    shutil.rmtree(drop.folder / "center")
    shutil.copytree(old, drop.folder / "center")
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 12")
    drop.snapshot()
    first = next((drop.arrivals / "done").glob("*/*"))
    shutil.move(first, drop.arrivals / first.name)
    with drop.center() as (restored, inbox):
        size = restored.ledger.size
        drop.carry()
        # The bag that the old copy has not seen would be signed anew, were the other one not looked at first.
        assert fates(inbox.scan()) == [Fate.WAITS] * 2
        assert restored.ledger.size == size
        assert restored.ledger.held is not None


def _forged_receipts(drop: Drop, center: Center, signer: Ed25519Signer) -> bytes:
    with drop.agent() as agent:
        digest = agent.journal.get("his", 1).digest
        (bagged,) = agent.parts.bags.of("his")
    refusal = Refusal("JS-3102", "it does not hold", "give it up")
    receipts = Receipts(
        ORIGIN, "X013", "his", drop.clock.now, center.ledger.checkpoint(), (BagAnswer(bagged.bag),),
        statements=(StatementAnswer(digest, refusal=refusal),),
    )  # fmt: skip
    return sign_receipts(receipts, signer)


def test_forged_receipts_make_no_agent_give_anything_up(drop: Drop, center: Opened) -> None:
    forger = Ed25519Signer.from_seed(f"{ORIGIN}/operator", KeyType.ED25519, bytes(32))
    path = drop.inbox / f"receipts-X013-his-{'0' * 32}.note"
    path.write_bytes(_forged_receipts(drop, center[0], forger))
    drop.send()
    assert drop.stages() == [Stage.SPOOLED]
    assert path.exists(), "it may be a file that is not whole yet"
    path.write_bytes(b"\xff" * 100)
    drop.exchange(center[1])
    check_stored(drop, center[0], 1)


def test_the_operators_own_refusal_gives_it_up_and_states_a_gap(drop: Drop, center: Opened) -> None:
    # That the forged file above would have been heeded if it were not forged.
    (drop.inbox / f"receipts-X013-his-{'0' * 32}.note").write_bytes(
        _forged_receipts(drop, center[0], center[0].operator)
    )
    drop.send()
    with drop.agent() as agent:
        assert [entry.kind for entry in agent.journal.all_of("his")] == ["gap"]


def test_receipts_of_another_history_stop_the_agent(drop: Drop, center: Opened) -> None:
    drop.exchange(center[1])
    run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 13")
    drop.snapshot()
    drop.carry()
    center[1].scan()
    (path,) = drop.carry_back()
    text, _, _ = path.read_bytes().rpartition(b"\n\n")
    members = json.loads(text)
    assert members["proofs"]
    for proof in members["proofs"]:
        hashes = bytearray(parse_base64(proof["hashes"], "hashes"))
        hashes[-1] ^= 1
        proof["hashes"] = encode_base64(bytes(hashes))
    path.write_bytes(sign_note(encode_json(members) + b"\n", [center[0].operator]).encode())
    with pytest.raises(ReceiptError):
        drop.send()
    assert drop.stages() == [Stage.STORED, Stage.SPOOLED]


def test_a_secret_for_another_source_does_not_open_here(drop: Drop, center: Opened) -> None:
    (bag,) = drop.carry()
    public = center[0].sealing.public
    elsewhere = seal_secrets(
        SourceSecrets(bytes(32), bytes(32)), SealedFor(Direction.DEPOSIT, ORIGIN, "X013", "lis"), public
    )
    _rewrite(bag, Identity.open(drop.agent_folder).statement, secrets=elsewhere)
    assert fates(center[1].scan()) == [Fate.REFUSED]
    assert center[0].units.get("X013").sources == ()
