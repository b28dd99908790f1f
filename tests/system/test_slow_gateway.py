# SPDX-License-Identifier: Apache-2.0
"""A gateway that takes days each way, and a snapshot every night: something is always on its way, and all comes to its end."""

import pytest

from agent.outcome import Stage
from tests.builders.drops import Drop, SlowGateway, lose_packs
from tests.builders.world import check_chain, read_back, run_sql

DAYS = 2
EDIT = "UPDATE 病程记录 SET 内容 = 内容 || '。' WHERE 编号 % 7 = 3"


def live(drop: Drop, gateway: SlowGateway, nights: int, *, take: bool = True) -> list[int]:
    """Let nights pass, each with a change of the source; give the bytes that each has put."""
    put: list[int] = []
    with drop.center() as (_, inbox):
        for _ in range(nights):
            run_sql(drop.folder / "his.db", "UPDATE ward SET beds = beds + 1")
            bags = gateway.night(inbox, take=take)
            put.append(sum(path.stat().st_size for bag in bags for path in bag.rglob("*.pack")))
    return put


@pytest.mark.parametrize("is_coded", [False, True], ids=["pages anew", "pages coded against lost ones"])
def test_content_that_the_center_has_lost_is_put_again_though_something_is_always_on_its_way(
    drop: Drop, is_coded: bool
) -> None:
    gateway = SlowGateway(drop, DAYS)
    live(drop, gateway, 8)
    assert drop.stages()[0] is Stage.STORED
    lose_packs(drop)
    if is_coded:
        run_sql(drop.folder / "his.db", EDIT)
    put = live(drop, gateway, 6 * DAYS + 2)
    assert sum(size > 100_000 for size in put) == 1, "what was kept goes again, once"
    stages = drop.stages()
    assert stages[: -2 * DAYS] == [Stage.STORED] * (len(stages) - 2 * DAYS)
    live(drop, gateway, 2 * DAYS + 2, take=False)
    assert set(drop.stages()) == {Stage.STORED}
    with drop.center() as (center, _):
        assert check_chain(center, "X013", "his") == ["snapshot"] * len(stages), "a day is given up"
        for sequence in range(8, len(stages) + 1):
            assert read_back(center, "X013", "his", sequence) > 600


def test_content_that_nobody_has_is_given_up_and_the_source_is_sent_anew_once(drop: Drop) -> None:
    gateway = SlowGateway(drop, DAYS)
    live(drop, gateway, 8)
    lose_packs(drop)
    with drop.agent() as agent:
        for pack in agent.spool("his").acknowledged():
            pack.path.unlink()
    run_sql(drop.folder / "his.db", EDIT)
    put = live(drop, gateway, 8 * DAYS)
    live(drop, gateway, 2 * DAYS + 2, take=False)
    with drop.agent() as agent:
        assert not agent.journal.unfinished()
    with drop.center() as (center, _):
        kinds = check_chain(center, "X013", "his")
        assert kinds.count("gap") == 1 and set(kinds) == {"snapshot", "gap"}
        assert read_back(center, "X013", "his") > 600
    assert sum(size > 100_000 for size in put) == 1


def test_an_answer_that_comes_after_its_bag_was_put_again_counts(drop: Drop) -> None:
    path = drop.agent_folder / "agent.yaml"
    path.write_text(path.read_text().replace("{kind:", "{bags: {resend_after: 3 d}, kind:"), encoding="utf-8")
    gateway = SlowGateway(drop, DAYS)
    live(drop, gateway, 6 * DAYS)
    live(drop, gateway, 2 * DAYS + 2, take=False)
    assert set(drop.stages()) == {Stage.STORED}
    with drop.agent() as agent:
        assert agent.spool("his").packs() == [], "what has come is taken for lost"
        assert agent.parts.bags.of("his") == []
    assert sum(live(drop, gateway, 2 * DAYS, take=False)) == 0
