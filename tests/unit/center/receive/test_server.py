# SPDX-License-Identifier: Apache-2.0
"""The receiver's process: its address, its start and its stop."""

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.errors import CenterDownError
from center.errors import StoreError
from center.receive.server import AddressError, Receiver
from center.receive.tls import TlsFiles
from evidence.wire.secrets import SourceSecrets
from tests.builders.receivers import run_receiver, statement_note

SERVE = """
import sys
from pathlib import Path
from center.receive.server import Receiver
from center.receive.tls import TlsFiles
from tests.builders.receivers import run_receiver

folder = Path(sys.argv[1])
with run_receiver(folder) as running:
    pass
receiver = Receiver(running.reopen(), "127.0.0.1", 0, TlsFiles.within(folder / "tls"))
receiver.run(lambda address: print("ready", address, flush=True))
print("stopped", flush=True)
"""


def test_a_taken_address_is_told(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as center, pytest.raises(AddressError, match=str(center.port)) as caught:
        Receiver(center.api, "127.0.0.1", center.port, TlsFiles.within(tmp_path / "tls"))
    assert "listen" in caught.value.hint


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as center, pytest.raises(AddressError, match=r"192\.0\.2\.1"):
        Receiver(center.api, "192.0.2.1", 0, TlsFiles.within(tmp_path / "tls"))


def test_a_missing_certificate_is_told_before_anything_starts(tmp_path: Path) -> None:
    with run_receiver(tmp_path) as center, pytest.raises(StoreError, match=r"center\.key"):
        Receiver(center.api, "127.0.0.1", 0, TlsFiles.within(tmp_path / "nothing"))


SLOW_TO_LEAVE = """
import asyncio
import sys
import threading
import time

wake = asyncio.SelectorEventLoop._write_to_self


def wake_and_dawdle(self):
    wake(self)
    if isinstance(threading.current_thread(), threading._DummyThread):  # begun outside Python
        time.sleep(0.5)


class Lingering:
    def __del__(self, sleep=time.sleep):
        sleep(1)


asyncio.SelectorEventLoop._write_to_self = wake_and_dawdle
sys.modules["lingering"] = Lingering()  # goes while the interpreter is taken down
"""
"""A machine so busy that the thread that woke the loop goes on only while the interpreter is being taken down."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_process_cleanly_with_a_line_still_open(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        word, address = process.stdout.readline().split()
        assert word == "ready"
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 60):
            process.send_signal(number)
            assert process.stdout.readline() == "stopped\n"
            assert process.wait(60) == 0


def test_a_stop_waits_for_the_threads_that_are_not_python_s(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_LEAVE + SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(60) == 0


def test_a_stop_lets_what_is_being_done_finish(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        center.units.register_source("X013", "his", SourceSecrets(bytes(32), bytes(32)))
        center.admission.may_go_on.clear()
        receipts: list[bytes | None] = []
        with identity.connect(lambda: None) as transport:
            note = statement_note(identity, "his")
            asking = threading.Thread(target=lambda: receipts.append(transport.submit("his", note).receipt))
            asking.start()
            assert center.admission.entered.wait(60)
            center.receiver.stop()
            center.admission.may_go_on.set()
            asking.join(60)
            center.thread.join(60)
            assert not center.thread.is_alive()
            assert receipts[0] is not None
            with pytest.raises(CenterDownError):
                transport.latest("his")
