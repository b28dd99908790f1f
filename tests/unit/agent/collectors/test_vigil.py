# SPDX-License-Identifier: Apache-2.0
"""A session that waits is cut if its server answers nobody, and never while it answers somebody."""

import threading
from collections.abc import Callable

from agent.collectors.vigil import Vigil

SOON_S = 0.01
LONG_S = 60
"""What never comes is not waited for longer; what comes, comes within milliseconds."""


class Cut:
    """What is done to a session that is given up."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        self.done.set()


def _watch(answers: Callable[[], bool], cut: Cut, limit_s: float = 3600) -> Vigil:
    return Vigil(answers, cut, limit_s=limit_s, patience_s=SOON_S)


def test_server_that_answers_somebody_is_waited_for_and_asked_again_and_again() -> None:
    cut, asked, is_enough = Cut(), [0], threading.Event()

    def answers() -> bool:
        asked[0] += 1
        if asked[0] == 5:
            is_enough.set()
        return True

    vigil = _watch(answers, cut)
    with vigil.waiting():
        assert is_enough.wait(LONG_S)
    vigil.close()
    assert (cut.count, vigil.why) == (0, None)


def test_server_that_answers_nobody_is_not() -> None:
    cut = Cut()
    vigil = _watch(lambda: False, cut)
    with vigil.waiting():
        assert cut.done.wait(LONG_S)
    vigil.close()
    assert vigil.why is not None
    assert "and none to a new session" in vigil.why


def test_session_is_not_waited_for_beyond_its_time_whatever_others_hear() -> None:
    cut = Cut()
    vigil = _watch(lambda: True, cut, limit_s=0)
    with vigil.waiting():
        assert cut.done.wait(LONG_S)
    vigil.close()
    assert vigil.why is not None
    assert "the session was" in vigil.why


def test_wait_that_ended_while_the_server_was_asked_does_not_cut_the_next_one() -> None:
    cut, asked, has_ended, is_asked_again = Cut(), threading.Event(), threading.Event(), threading.Event()

    def answers() -> bool:
        if asked.is_set():
            is_asked_again.set()
            return True
        asked.set()
        assert has_ended.wait(LONG_S)
        return False

    vigil = _watch(answers, cut)
    with vigil.waiting():
        assert asked.wait(LONG_S)
    with vigil.waiting():
        has_ended.set()
        assert is_asked_again.wait(LONG_S)
    vigil.close()
    assert (cut.count, vigil.why) == (0, None)


def test_thread_begins_with_the_first_wait_and_ends_at_the_close() -> None:
    before = threading.active_count()
    vigil = _watch(lambda: True, Cut())
    vigil.close()
    assert threading.active_count() == before
    vigil = _watch(lambda: True, Cut())
    with vigil.waiting():
        assert threading.active_count() == before + 1
    vigil.close()
    assert threading.active_count() == before
