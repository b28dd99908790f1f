# SPDX-License-Identifier: Apache-2.0
"""A bag may take hours over a thin line: the daemon sends it in slices, so that the run that falls due need not wait."""

import time
from datetime import timedelta
from pathlib import Path

from agent.app import Agent
from agent.jobs.sending import Sender
from agent.outcome import Stage
from tests.builders.drops import Drop
from tests.builders.world import check_chain, make_incompressible, read_back


def test_a_slice_ends_within_a_bag_and_the_next_one_goes_on_there(drop_box: Drop) -> None:
    with drop_box.center() as (center, inbox):
        drop_box.enroll(center, make_incompressible(drop_box.folder / "his.db", 13 << 20))
        drop_box.snapshot(send=False)
        sender = Sender(lambda folder: Agent.open(folder, drop_box.clock), drop_box.agent_folder, time.monotonic)
        sent: list[set[Path]] = []
        while not drop_box.bags():
            sender.send(lambda: True)
            sent.append(set(drop_box.outbox.rglob("*.pack")))
            assert len(sent) < 30, "the slices never come to an end"
            assert len(sent) > 1 or not drop_box.bags(), "the first slice lasted until the bag was put"
        assert next(len(packs) for packs in sent if packs) == 1
        drop_box.clock.now += timedelta(minutes=1)
        drop_box.exchange(inbox)
        assert drop_box.stages() == [Stage.STORED]
        assert check_chain(center, "X013", "his") == ["snapshot"]
        assert read_back(center, "X013", "his", 1) > 100
