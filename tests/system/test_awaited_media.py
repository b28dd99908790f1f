# SPDX-License-Identifier: Apache-2.0
"""While a disc is on its way for weeks the daemon does not ask for its receipt every minute, and has it soon all the same."""

from pathlib import Path

import pytest

from agent.app import Agent
from agent.jobs.sending import Sender
from agent.journal import State
from agent.media.order import Choice, Wish
from agent.snapshot.progress import Silent
from agent.transport.base import SubmitAnswer
from agent.transport.https import HttpsTransport
from tests.builders.world import World, check_chain, make_hospital, read_back, run_sql, sqlite_source
from tests.fakes.machine import FakeTime


def test_a_disc_on_its_way_is_asked_for_more_and_more_seldom_and_its_receipt_comes_within_the_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = FakeTime(0.0)
    asked: list[tuple[float, bytes]] = []
    submit = HttpsTransport.submit

    def count(road: HttpsTransport, source: str, note: bytes, register_only: bool = False) -> SubmitAnswer:
        asked.append((time.now / 60, note))
        return submit(road, source, note, register_only)

    monkeypatch.setattr(HttpsTransport, "submit", count)
    database = make_hospital(tmp_path / "his.db", 300)
    with World.make(tmp_path / "world") as world, world.serving() as center:
        folder = world.add_agent(center, "X013", sqlite_source("his", database))
        sender = Sender(Agent.open, folder, time)

        def live(rounds: int) -> list[float]:
            """Let so many times ten minutes pass; give when statements were submitted."""
            asked.clear()
            for _ in range(rounds):
                sender.send()
                time.sleep(600)
            return [minute for minute, _ in asked]

        with Agent.open(folder) as agent:
            disc = agent.write_media("his", Wish(tmp_path / "disc", 1 << 30), Choice.NEW, Silent())
        assert live(29) == [0, 10, 20, 30, 40, 60, 100, 160, 220, 280]
        run_sql(database, "UPDATE ward SET beds = 7")
        with Agent.open(folder) as agent:
            agent.snapshot("his", Silent(), send=False)
        assert live(1) == [290, 290], "what was taken waits until a disc is asked for"
        assert check_chain(center, "X013", "his") == ["snapshot"] * 2
        live(20)

        center.media_reader().read([medium.path for medium in disc.media], tmp_path / "back")
        live(7)
        with Agent.open(folder) as agent:
            assert [entry.state for entry in agent.journal.all_of("his")] == [State.STORED] * 2
            assert agent.spool("his").unsent() == []
        assert read_back(center, "X013", "his") > 600
