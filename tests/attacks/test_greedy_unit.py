# SPDX-License-Identifier: Apache-2.0
"""A unit that keeps as many requests at work as it can: its neighbour is served all the same."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.identity import Identity
from center.receive.api import THREADS
from evidence.wire.secrets import SourceSecrets
from tests.builders.receivers import Running, run_receiver, statement_note


def submit(center: Running, identity: Identity, source: str) -> bytes | None:
    with identity.connect(lambda: None) as road:
        return road.submit(source, statement_note(identity, source)).receipt


def test_statements_of_one_unit_that_take_for_ever_do_not_keep_the_others_waiting(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        greedy, neighbour = center.enroll(tmp_path / "a", "X013"), center.enroll(tmp_path / "b", "Y002")
        for identity in (greedy, neighbour):
            center.units.register_source(identity.unit, "his", SourceSecrets(bytes(32), bytes(32)))
        center.admission.may_go_on.clear()
        with ThreadPoolExecutor(2 * THREADS) as threads:
            waiting = [threads.submit(submit, center, greedy, "his") for _ in range(2 * THREADS)]
            try:
                assert center.admission.entered.wait(60)
                with neighbour.connect(lambda: None) as road:
                    assert road.missing("his", []) == set()
                    assert road.latest("his") is None
                assert not any(each.done() for each in waiting)
            finally:
                center.admission.may_go_on.set()
            assert len({each.result(60) for each in waiting}) == 1
        assert submit(center, neighbour, "his") is not None
