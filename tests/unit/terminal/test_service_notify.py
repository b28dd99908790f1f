# SPDX-License-Identifier: Apache-2.0
"""What systemd hears, over a real datagram socket."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from terminal.service.notify import Heart, Notifier
from tests.builders.threads import threads_now


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if address.startswith("@") else address)
        manager.settimeout(60)
        yield manager


def hear(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_words_reach_the_socket(kind: str, tmp_path: Path) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"@{tmp_path}/notify"
    with listening(address) as manager:
        notifier = Notifier.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "120000000"})
        notifier.ready("at work")
        notifier.beat()
        notifier.stopping()
        assert [hear(manager) for _ in range(3)] == ["READY=1\nSTATUS=at work", "WATCHDOG=1", "STOPPING=1"]
        assert notifier.watchdog_s == 120


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "120000000"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "2"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "²"},
        {"NOTIFY_SOCKET": "/x"},
    ],
    ids=["nobody listens", "another process", "zero", "no number", "no limit"],
)
def test_nobody_waits_for_beats(environ: dict[str, str]) -> None:
    assert Notifier.of(environ, pid=1).watchdog_s is None


def test_socket_that_is_gone_does_not_end_the_daemon(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "gone"), 120)
    notifier.ready("at work")
    notifier.beat()
    notifier.stopping()


def test_heart_beats_three_times_within_the_limit_while_the_daemon_lives(tmp_path: Path) -> None:
    alive = iter([True, True, False, True])
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 4

    with listening(str(tmp_path / "notify")) as manager:
        heart = Heart(Notifier(str(tmp_path / "notify"), 90), lambda: next(alive), wait)
        heart.begin("at work")
        heart.end()
        heard = [hear(manager) for _ in range(5)]
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(1)
    assert waits == [30] * 4
    assert sorted(heard) == ["READY=1\nSTATUS=at work", "STOPPING=1", *["WATCHDOG=1"] * 3]
    assert heard[0].startswith("READY=1")


def test_no_beats_and_no_thread_where_systemd_wants_none(tmp_path: Path) -> None:
    before = threads_now()
    with listening(str(tmp_path / "notify")) as manager:
        heart = Heart(Notifier(str(tmp_path / "notify")), lambda: True)
        heart.begin("at work")
        assert threads_now() <= before
        heart.end()
        assert [hear(manager), hear(manager)] == ["READY=1\nSTATUS=at work", "STOPPING=1"]
