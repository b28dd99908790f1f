# SPDX-License-Identifier: Apache-2.0
"""First seeding by disk where even the road is a gateway: bags in between carry statements, not the disk's content."""

from pathlib import Path

from agent.media.order import Choice, Wish
from agent.outcome import Stage
from agent.snapshot.progress import Silent
from evidence.bag.read import BagReader
from tests.builders.drops import Drop
from tests.builders.world import check_chain, read_back, run_sql


def test_bags_of_the_nights_in_between_carry_statements_alone(drop: Drop, tmp_path: Path) -> None:
    with drop.center() as (center, inbox):
        with drop.agent() as agent:
            disk = agent.write_media("his", Wish(tmp_path / "disk", 1 << 30), Choice.ALL, Silent())
        run_sql(tmp_path / "his.db", "UPDATE ward SET beds = 7")
        drop.snapshot()
        (bag,) = drop.bags()
        envelope = BagReader(bag).envelope
        assert ([s.sequence for s in envelope.statements], envelope.packs) == ([1, 2], ())
        drop.exchange(inbox)
        assert drop.stages() == [Stage.REGISTERED, Stage.REGISTERED]

        reading = center.media_reader().read([medium.path for medium in disk.media], tmp_path / "back")
        assert reading.sets[0].is_stored
        with drop.agent() as agent:
            brought = agent.take_media_receipt(reading.receipts[0])
        assert (brought.stored, brought.waiting) == ((1,), 1)
        drop.send()
        drop.exchange(inbox)
        assert drop.stages() == [Stage.STORED, Stage.STORED]
        assert check_chain(center, "X013", "his") == ["snapshot", "snapshot"]
        assert read_back(center, "X013", "his", 2) > 600
