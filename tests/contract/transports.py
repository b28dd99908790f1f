# SPDX-License-Identifier: Apache-2.0
"""What every road between agent and center must do. A road's test module subclasses this and gives `road`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import CenterDownError, CenterRefusedError
from agent.identity import Identity
from agent.plan.figures import Line
from agent.plan.line import probe_line
from agent.transport.base import Transport
from center.errors import BusyError, FullError, HeldError, PackError, StatementError, StoreError
from evidence.digest import ObjectId, Sha256, pack_name
from evidence.log.checkpoint import Checkpoint, sign_checkpoint, verify_checkpoint
from evidence.log.merkle import verify_consistency
from evidence.manifest.entry import Level
from evidence.manifest.receipt import parse_receipt, verify_receipt
from evidence.manifest.statement import statement_digest
from evidence.note.cosign import cosign, verify_cosignatures
from evidence.note.signed import parse_note
from evidence.wire.heartbeat import Heartbeat, SourceBeat
from evidence.wire.secrets import SourceSecrets
from tests.builders.receivers import LOG, ORIGIN, Running, statement_note

SECRETS = SourceSecrets(bytes(range(32)), bytes(range(32, 64)))
DATA = b"pack " * 100_000


@dataclass
class Road:
    """A road that stands: the center at its end, who travels, and how to open it anew."""

    center: Running
    identity: Identity
    connect: Callable[[Callable[[], bytes | None]], Transport]
    transport: Transport
    folder: Path

    def write_pack(self, data: bytes = DATA) -> tuple[str, Path]:
        """Write a pack into the agent's folder; give its name and file."""
        path = self.folder / pack_name([data])
        path.write_bytes(data)
        return path.name, path


class TransportContract:
    """The suite."""

    @pytest.mark.parametrize("source", ["lis", "his"])
    def test_line_is_measured_by_questions_that_leave_nothing_at_the_center(self, road: Road, source: str) -> None:
        if source == "his":
            road.transport.deposit(source, SECRETS)
        ticks = iter([0.0, 0.25, 10.0, 12.0])
        line = probe_line(road.transport, source, lambda: next(ticks))
        # 1,024 ids took 0.25 s, so 4,096 were asked for next, in 2 s.
        assert line == Line(4096 * 32 * 8 / 2.0, True)
        assert road.transport.recover("lis") is None

    def test_secrets_deposited_come_back(self, road: Road) -> None:
        road.transport.deposit("lis", SECRETS)
        assert road.center.units.secrets("X013", "lis") == SECRETS
        assert road.transport.recover("lis") == SECRETS

    def test_the_same_deposit_again_does_no_harm(self, road: Road) -> None:
        road.transport.deposit("lis", SECRETS)
        road.transport.deposit("lis", SECRETS)
        with pytest.raises(CenterRefusedError, match="are others") as caught:
            road.transport.deposit("lis", SourceSecrets(bytes(32), bytes(32)))
        assert caught.value.refusal == "JS-3103"

    def test_secrets_of_no_source_are_none(self, road: Road) -> None:
        assert road.transport.recover("nothing") is None

    def test_a_pack_arrives_whole(self, road: Road) -> None:
        name, path = road.write_pack()
        road.transport.put_pack("his", name, path)
        assert road.center.admission.packs["X013", "his", name] == DATA

    def test_a_pack_of_the_largest_size_arrives_whole(self, road: Road) -> None:
        data = bytes(range(256)) * (1 << 16)
        name, path = road.write_pack(data)
        road.transport.put_pack("his", name, path)
        assert road.center.admission.packs["X013", "his", name] == data

    def test_the_same_pack_again_does_no_harm(self, road: Road) -> None:
        name, path = road.write_pack()
        for _ in range(3):
            road.transport.put_pack("his", name, path)
        assert len(road.center.admission.packs) == 1

    def test_a_pack_whose_bytes_give_another_name_is_refused(self, road: Road) -> None:
        name, path = road.write_pack()
        path.write_bytes(DATA + b"x")
        with pytest.raises(CenterRefusedError, match="gives the name") as caught:
            road.transport.put_pack("his", name, path)
        assert caught.value.refusal == PackError.code
        assert caught.value.hint == "send it again"
        assert not road.center.admission.packs

    def test_a_pack_for_no_source_is_refused(self, road: Road) -> None:
        name, path = road.write_pack()
        with pytest.raises(CenterRefusedError) as caught:
            road.transport.put_pack("nothing", name, path)
        assert caught.value.refusal == "JS-3106"

    def test_missing_objects_are_named_over_several_requests(self, road: Road) -> None:
        ids = [ObjectId(i.to_bytes(32, "big")) for i in range(40_000)]
        road.center.admission.objects["X013", "his"] = set(ids[::3])
        assert road.transport.missing("his", ids) == set(ids) - set(ids[::3])
        assert road.transport.missing("his", []) == set()

    def test_a_statement_gets_a_receipt_that_verifies(self, road: Road) -> None:
        note = statement_note(road.identity, "his")
        answer = road.transport.submit("his", note)
        assert answer.receipt is not None
        verified = verify_receipt(parse_receipt(answer.receipt), LOG.key)
        assert verified.entry.note == note
        assert answer.missing == ()

    def test_the_same_statement_again_gets_a_receipt_of_the_same_entry(self, road: Road) -> None:
        note = statement_note(road.identity, "his")
        receipts = [road.transport.submit("his", note).receipt for _ in range(2)]
        entries = [parse_receipt(receipt).entry for receipt in receipts if receipt is not None]
        assert len(entries) == 2
        assert entries[0] == entries[1]

    def test_a_statement_whose_content_is_missing_gets_no_receipt(self, road: Road) -> None:
        road.center.admission.needs = (ObjectId(bytes(32)),)
        answer = road.transport.submit("his", statement_note(road.identity, "his"))
        assert (answer.receipt, answer.missing) == (None, road.center.admission.needs)

    def test_a_statement_can_be_registered_before_its_content(self, road: Road) -> None:
        road.center.admission.needs = (ObjectId(bytes(32)),)
        answer = road.transport.submit("his", statement_note(road.identity, "his"), register_only=True)
        assert answer.receipt is not None
        assert verify_receipt(parse_receipt(answer.receipt), LOG.key).entry.level is Level.REGISTERED
        assert answer.missing == road.center.admission.needs

    def test_a_refused_statement_says_why_and_what_to_do(self, road: Road) -> None:
        with pytest.raises(CenterRefusedError) as caught:
            road.transport.submit("his", b"no note\n")
        assert caught.value.refusal == StatementError.code
        assert caught.value.hint == "call the archives"

    def test_the_latest_statement_and_receipts_can_be_asked_for(self, road: Road) -> None:
        assert road.transport.latest("his") is None
        assert road.transport.latest("nothing") is None
        note = statement_note(road.identity, "his")
        receipt = road.transport.submit("his", note).receipt
        assert road.transport.latest("his") == (note, receipt)
        assert road.transport.receipt(statement_digest(parse_note(note).text)) == receipt
        with pytest.raises(CenterRefusedError) as caught:
            road.transport.receipt(Sha256(bytes(32)))
        assert caught.value.refusal == "JS-3106"

    def test_a_cosignature_is_published_and_remembered(self, road: Road) -> None:
        note = parse_note(road.transport.checkpoint())
        size = verify_checkpoint(note, LOG.key).size
        line = cosign(note.text, road.identity.cosigner, 1_700_000_000)
        road.transport.cosign(size, line)
        road.transport.cosign(size, line)
        found = verify_cosignatures(parse_note(road.transport.checkpoint()), [road.identity.cosigner.key])
        assert [one.unix_s for one in found] == [1_700_000_000]
        assert road.center.units.get("X013").last_checkpoint_size == size

    def test_a_cosignature_on_another_checkpoint_is_refused(self, road: Road) -> None:
        note = parse_note(road.transport.checkpoint())
        size = verify_checkpoint(note, LOG.key).size
        line = cosign(b"center.example/line\n9\nAAAA\n", road.identity.cosigner, 1)
        with pytest.raises(CenterRefusedError):
            road.transport.cosign(size, line)

    def test_consistency_is_proven_from_tiles(self, road: Road) -> None:
        old = verify_checkpoint(parse_note(road.transport.checkpoint()), LOG.key)
        for sequence in range(1, 6):
            road.transport.submit("his", statement_note(road.identity, "his", sequence))
        new = verify_checkpoint(parse_note(road.transport.checkpoint()), LOG.key)
        assert new.size == old.size + 5
        proof = road.transport.consistency(old.size, new.size)
        verify_consistency(old.size, old.root, new.size, new.root, proof)

    def test_a_tile_that_is_not_there_is_refused(self, road: Road) -> None:
        for path in ("tile/0/999", "tile/0/000.p/0", "tile/7/x", "tile/entries/000.p/1"):
            with pytest.raises(CenterRefusedError):
                road.transport.tile(path)

    def test_the_newest_checkpoint_seen_is_shown_to_the_center(self, road: Road) -> None:
        ahead = sign_checkpoint(Checkpoint(ORIGIN, 1000, Sha256(bytes(32))), LOG).encode()
        with road.connect(lambda: ahead) as transport, pytest.raises(CenterDownError):
            transport.submit("his", statement_note(road.identity, "his"))
        assert road.center.ledger.held is not None
        assert "1000" in road.center.ledger.held

    def test_cosignatures_under_the_checkpoint_seen_do_no_harm(self, road: Road) -> None:
        note = parse_note(road.transport.checkpoint())
        lines = [cosign(note.text, road.identity.cosigner.renamed(f"W{i}"), 1) for i in range(90)]
        with road.connect(lambda: note.with_signatures(lines).encode()) as transport:
            assert transport.missing("his", []) == set()
            assert transport.missing("his", [ObjectId(bytes(32))]) == {ObjectId(bytes(32))}

    @pytest.mark.parametrize(
        "error",
        [
            HeldError("the ledger does not sign", hint="wait"),
            FullError("the disk is full", hint="wait"),
            BusyError("too many", hint="wait"),
            StoreError("a tile is damaged", hint="audit"),
            RuntimeError("a secret in a trace"),
        ],
    )
    def test_a_center_that_cannot_now_is_a_center_that_is_down(self, road: Road, error: Exception) -> None:
        road.center.admission.fail_next = error
        with pytest.raises(CenterDownError) as caught:
            road.transport.submit("his", statement_note(road.identity, "his"))
        assert "nothing is lost" in caught.value.hint
        assert "secret" not in str(caught.value)
        assert road.transport.submit("his", statement_note(road.identity, "his")).receipt is not None

    def test_a_full_disk_is_told_as_one(self, road: Road) -> None:
        import errno

        road.center.admission.fail_next = OSError(errno.ENOSPC, "No space left on device")
        name, path = road.write_pack()
        with pytest.raises(CenterDownError, match="disk is full"):
            road.transport.put_pack("his", name, path)
        road.transport.put_pack("his", name, path)

    def test_a_heartbeat_is_kept_and_answered_with_the_centers_time(self, road: Road) -> None:
        ahead = road.center.clock.now + timedelta(minutes=7)
        beat = Heartbeat(ahead, "jinsuo test", 5 << 30, False, None, (SourceBeat("his", waiting=3),))
        assert road.transport.heartbeat(beat) == road.center.clock.now
        heard = road.center.signs.heartbeats()["X013"]
        assert (heard.heartbeat, heard.at, heard.clock_error) == (beat, road.center.clock.now, timedelta(minutes=7))
        newer = replace(beat, sources=())
        road.transport.heartbeat(newer)
        assert road.center.signs.heartbeats()["X013"].heartbeat == newer
        assert road.center.ledger.size == len(road.center.acts), "a heartbeat is no evidence, and never logged"

    def test_every_call_is_a_sign_of_life(self, road: Road) -> None:
        assert road.center.signs.last_seen() == {}
        assert road.transport.latest("his") is None
        assert road.center.signs.last_seen() == {"X013": road.center.clock.now}

    def test_a_disabled_unit_is_told_so(self, road: Road) -> None:
        road.center.units.disable("X013")
        with pytest.raises(CenterRefusedError, match="X013 is disabled") as caught:
            road.transport.latest("his")
        assert caught.value.refusal == "JS-3105"
        road.center.units.enable("X013")
        assert road.transport.latest("his") is None

    def test_many_threads_may_use_one_road(self, road: Road) -> None:
        from concurrent.futures import ThreadPoolExecutor

        packs = [road.write_pack(bytes((i,)) * 300_000) for i in range(24)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda pack: road.transport.put_pack("his", *pack), packs))
        assert len(road.center.admission.packs) == 24
