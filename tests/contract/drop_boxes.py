# SPDX-License-Identifier: Apache-2.0
"""What every road that carries files must do, whatever is lost, damaged, swapped or brought twice between the two sides.

A road's test module subclasses this; if its drop box is not two folders, it gives a `drop_box` of its own.
"""

import shutil
from datetime import timedelta

import pytest

from agent.app import Agent
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from center.receive.inbox import Fate
from evidence.bag.read import BagReader
from evidence.digest import pack_name
from evidence.manifest.statement import Channel, SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from tests.builders.drops import SETTLE, Drop, Opened, check_stored, fates, flip, packs_of
from tests.builders.world import make_incompressible, run_sql


class DropBoxContract:
    """The suite."""

    @pytest.fixture
    def large(self, drop: Drop) -> Drop:
        """Give `drop` with a database of several packs."""
        path = drop.agent_folder / "agent.yaml"
        large = make_incompressible(drop.folder / "large.db", 14_000_000)
        path.write_text(
            path.read_text(encoding="utf-8").replace(str(drop.folder / "his.db"), str(large)), encoding="utf-8"
        )
        return drop

    def test_a_snapshot_is_stored_and_receipted_by_bags_alone(self, drop: Drop, center: Opened) -> None:
        outcome = drop.snapshot()
        assert (outcome.stage, len(drop.bags())) == (Stage.SPOOLED, 1)
        assert fates(drop.exchange(center[1])) == [Fate.TAKEN]
        assert drop.stages() == [Stage.STORED]
        check_stored(drop, center[0], 1)
        statement = parse_statement(parse_note(center[0].catalog.statement("X013", "his", 1).note).text)
        assert isinstance(statement, SnapshotStatement)
        assert statement.channel is Channel(drop.road.partition("kind: ")[2].partition(",")[0])
        with drop.agent() as agent:
            assert agent.spool("his").packs() == []
            assert list(agent.folder.glob("bags/his/*")) == []
        assert list(drop.inbox.iterdir()) == []

    def test_the_root_is_the_one_that_a_line_would_have_brought(self, drop: Drop, center: Opened) -> None:
        online = drop.folder / "online"
        shutil.copytree(drop.agent_folder, online)
        path = online / "agent.yaml"
        path.write_text(path.read_text().replace(f"road: {drop.road}\n", ""))
        drop.snapshot()
        # The same secrets, as after the same agent had registered its source over a line.
        with drop.agent() as agent, Agent.open(online, drop.clock) as other:
            keys = agent.journal.keys("his")
            assert keys is not None
            other.journal.put_keys("his", keys)
            other.journal.mark_deposited("his")
        drop.exchange(center[1])
        with Agent.open(online, drop.clock) as other, pytest.MonkeyPatch.context() as patch:
            patch.setattr("agent.snapshot.chain.Chain.settle", lambda *_, **__: None)  # nobody answers there
            root = other.snapshot("his", Silent(), send=False).root
            names = {pack.name for pack in other.spool("his").packs()}
        assert center[0].open_snapshot("X013", "his").statement.root.hex() == root
        stored = [p.rpartition("/")[2].removesuffix(".pack") for p in center[0].store.names("packs/X013/his/")]
        assert len(stored) == len(names) > 0

    def test_a_bag_has_its_name_only_when_it_is_whole_and_is_not_made_twice(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        for _ in range(3):
            drop.send()
        assert len(drop.bags()) == 1
        assert [path.name for path in drop.outbox.iterdir() if path.name.startswith(".")] == []
        drop.carry()
        for _ in range(3):
            drop.send()
        assert drop.bags() == []

    def test_nights_go_on_while_receipts_are_on_their_way(self, drop: Drop, center: Opened) -> None:
        for night in range(3):
            run_sql(drop.folder / "his.db", "UPDATE ward SET beds = ?", 100 + night)
            drop.snapshot()
        assert [len(BagReader(bag).envelope.statements) for bag in drop.bags()] == [1, 1, 1]
        assert fates(drop.exchange(center[1])) == [Fate.TAKEN] * 3
        check_stored(drop, center[0], 3)

    def test_a_bag_before_its_turn_waits_and_nothing_is_lost(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 7")
        drop.snapshot()
        first, second = drop.bags()
        drop.carry([second])
        assert fates(center[1].scan()) == [Fate.WAITS]
        assert fates(center[1].scan()) == [Fate.WAITS]
        assert fates(drop.exchange(center[1])) == [Fate.TAKEN] * 2
        assert not first.exists()
        check_stored(drop, center[0], 2)

    def test_a_lost_file_of_receipts_is_made_good_by_the_next(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        drop.carry()
        center[1].scan()
        for lost in drop.departures.iterdir():
            lost.unlink()
        run_sql(drop.folder / "his.db", "UPDATE ward SET beds = 8")
        drop.snapshot()
        drop.exchange(center[1])
        check_stored(drop, center[0], 2)
        with drop.agent() as agent:
            assert agent.spool("his").packs() == []
            assert agent.parts.bags.of("his") == []

    def test_receipts_may_come_in_any_order_and_twice(self, drop: Drop, center: Opened) -> None:
        for night in range(3):
            run_sql(drop.folder / "his.db", "UPDATE ward SET beds = ?", 50 + night)
            drop.snapshot()
            drop.carry()
            center[1].scan()
        files = sorted(drop.departures.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        kept = [(path.name, path.read_bytes()) for path in files]
        for path in files:
            path.unlink()
        for name, raw in [kept[2], kept[0], kept[1], kept[0]]:
            (drop.inbox / name).write_bytes(raw)
            drop.send()
        assert list(drop.inbox.iterdir()) == []
        check_stored(drop, center[0], 3)

    def test_a_bag_that_is_brought_twice_does_no_harm(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        (bag,) = drop.carry()
        again = drop.folder / "again"
        shutil.copytree(bag, again)
        assert fates(center[1].scan()) == [Fate.TAKEN]
        size = center[0].ledger.size
        for number in range(2):
            shutil.copytree(again, drop.arrivals / f"{bag.name}-{number}")
            assert fates(center[1].scan()) == [Fate.TAKEN]
        assert center[0].ledger.size == size
        drop.exchange(center[1])
        check_stored(drop, center[0], 1)

    def test_a_lost_bag_is_made_anew_when_its_time_is_up(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        (lost,) = drop.bags()
        shutil.rmtree(lost)
        drop.clock.now += timedelta(days=6)
        drop.send()
        assert drop.bags() == []
        drop.clock.now += timedelta(days=2)
        drop.exchange(center[1])
        assert drop.stages() == [Stage.SPOOLED]
        drop.exchange(center[1])
        check_stored(drop, center[0], 1)

    @pytest.mark.parametrize("harm", ["flip", "cut", "lose"])
    def test_a_damaged_pack_is_named_the_rest_is_taken_and_only_it_is_sent_again(
        self, large: Drop, center: Opened, harm: str
    ) -> None:
        large.snapshot()
        (bag,) = large.carry()
        packs = packs_of(bag)
        assert len(packs) > 2
        names = [pack.name for pack in BagReader(bag).envelope.packs]
        if harm == "flip":
            flip(packs[1])
        elif harm == "cut":
            packs[1].write_bytes(packs[1].read_bytes()[:1000])
        else:
            packs[1].unlink()
        assert fates(center[1].scan()) == [Fate.WAITS]
        large.clock.now += SETTLE
        (outcome,) = center[1].scan()
        assert outcome.fate is Fate.TAKEN
        assert [damage.path for damage in outcome.damages] == [str(packs[1].relative_to(bag))]
        large.carry_back()
        large.send()
        assert large.stages() == [Stage.REGISTERED]
        (second,) = large.bags()
        assert [pack.name for pack in BagReader(second).envelope.packs] == [names[1]]
        large.exchange(center[1])
        assert large.stages() == [Stage.STORED]
        check_stored(large, center[0], 1)

    def test_a_damaged_statement_is_named_and_sent_again(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        (bag,) = drop.carry()
        flip(bag / "data" / "statements" / "his" / "1.note", 0.99)
        (outcome,) = center[1].scan()
        assert [damage.path for damage in outcome.damages] == ["data/statements/his/1.note"]
        drop.carry_back()
        drop.send()
        assert len(drop.bags()) == 1
        drop.exchange(center[1])
        check_stored(drop, center[0], 1)

    def test_what_waits_is_split_over_bags_of_the_size_that_is_set(self, large: Drop, center: Opened) -> None:
        path = large.agent_folder / "agent.yaml"
        path.write_text(path.read_text().replace("{kind:", "{bags: {size: 5 MiB}, kind:"))
        large.snapshot()
        bags = large.bags()
        envelopes = [BagReader(bag).envelope for bag in bags]
        assert [(e.volume, e.volumes) for e in envelopes] == [(n, len(bags)) for n in range(1, len(bags) + 1)]
        assert len(bags) > 1 and len({e.set_ for e in envelopes}) == 1
        assert [bool(e.statements) for e in envelopes] == [False] * (len(bags) - 1) + [True]
        # The last volume comes first: its statement is registered, and stored when the others have come.
        large.carry([bags[-1]])
        assert fates(center[1].scan()) == [Fate.TAKEN]
        assert center[0].catalog.statement("X013", "his", 1).level == "registered"
        large.exchange(center[1])
        check_stored(large, center[0], 1)

    def test_nothing_of_the_content_can_be_read_on_the_road(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        (bag,) = drop.bags()
        raw = b"".join(path.read_bytes() for path in bag.rglob("*") if path.is_file())
        with drop.agent() as agent:
            plain = b"".join(pack.path.read_bytes() for pack in agent.spool("his").packs())
            keys = agent.journal.keys("his")
        assert keys is not None
        for secret in (
            keys.row_secret,
            keys.storage_key,
            "患者7".encode(),
            "查房".encode(),
            plain[-500:],
            plain[2000:2500],
        ):
            assert secret not in raw

    def test_packs_that_came_by_a_line_meanwhile_do_no_harm(self, drop: Drop, center: Opened) -> None:
        drop.snapshot()
        with drop.agent() as agent:
            keys = agent.journal.keys("his")
            assert keys is not None
            secrets = type(center[0].units).secrets  # the registry's own form of them
            assert secrets
            from evidence.wire.secrets import SourceSecrets

            center[0].units.register_source("X013", "his", SourceSecrets(keys.row_secret, keys.storage_key))
            for pack in agent.spool("his").packs():
                raw = pack.path.read_bytes()
                assert pack_name([raw]) == pack.name
                center[0].admission.put_pack("X013", "his", pack.name, [raw])
            center[0].admission.submit("X013", "his", agent.journal.get("his", 1).note)
        size = center[0].ledger.size
        drop.exchange(center[1])
        assert center[0].ledger.size == size
        check_stored(drop, center[0], 1)
