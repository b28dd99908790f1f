# SPDX-License-Identifier: Apache-2.0
"""A line that breaks, or flips a bit, while a road is being laid: a line that is down, never another's key, never a secret.

The offsets go through all that both ends say until the first answer is there: banners, key exchange, login, the channel,
TLS, the question itself. What is not a line that is down is the right answer.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import pytest

from agent.errors import CenterDownError
from tests.builders.receivers import run_receiver
from tests.builders.roads import admit, ssh_settings, ssh_way
from tests.contract.transports import SECRETS
from tests.fakes.line import FaultyLine
from tests.servers.sshd import SshServer

_MOMENTS = 6


@dataclass
class Laying:
    """A road over a line. `ask` lays it anew, asks one question, and gives the bytes sent and received until the answer."""

    line: FaultyLine
    ask: Callable[[], tuple[int, int]]


@pytest.fixture(scope="module", params=["https", "ssh"])
def laying(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, ssh_server: SshServer
) -> Iterator[Laying]:
    folder = tmp_path_factory.mktemp("laying")
    with ExitStack() as closing:
        center = closing.enter_context(run_receiver(folder / "center"))
        line = closing.enter_context(FaultyLine(center.port))
        identity = center.enroll(folder / "agent")
        center.units.register_source("X013", "his", SECRETS)
        if request.param == "https":
            address = replace(identity.address, url=f"https://127.0.0.1:{line.port}")
            connect = partial(replace(identity, address=address).connect, lambda: None)
        else:
            line.target = ssh_server.port
            admit(ssh_server, folder / "ssh.key", f"127.0.0.1:{center.port}")
            way = ssh_way(ssh_settings(ssh_server, folder / "ssh.key", port=line.port), folder)
            connect = partial(identity.connect, lambda: None, way=way)

        def ask() -> tuple[int, int]:
            sent, received = line.sent, line.received
            with connect() as road:
                assert road.latest("his") is None
                return line.sent - sent, line.received - received

        ask()
        yield Laying(line, ask)


@pytest.mark.parametrize("fault", ["cut", "flip", "flip of an answer"])
def test_whatever_happens_while_it_is_laid_is_a_line_that_is_down(laying: Laying, fault: str) -> None:
    line = laying.line
    sent, received = laying.ask()
    down = 0
    length = received if fault == "flip of an answer" else sent
    for i in range(1, _MOMENTS + 1):
        hits = line.hits
        at = i * length // (_MOMENTS + 1)
        if fault == "cut":
            line.cuts.append(line.sent + at)
        elif fault == "flip":
            line.flips.append(line.sent + at)
        else:
            line.answer_flips.append(line.received + at)
        try:
            laying.ask()
            # The padding of packets that agree on keys is covered by nothing, and means nothing.
            assert fault != "cut"
        except CenterDownError as err:
            assert type(err) is CenterDownError
            down += 1
        assert line.hits == hits + 1
        laying.ask()
    assert down >= _MOMENTS - 2
