# SPDX-License-Identifier: Apache-2.0
"""A line that breaks, or flips a bit, while a road is being laid: a line that is down, never another's key, never a secret.

The offsets go through all that both ends say until the first answer is there: banners, key exchange, login, the channel,
TLS, the question itself.
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

_MOMENTS = 9


@dataclass
class Laying:
    """A road over a line. `ask` lays it anew and asks one question."""

    line: FaultyLine
    ask: Callable[[], object]


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

        def ask() -> object:
            with connect() as road:
                return road.latest("his")

        ask()
        yield Laying(line, ask)


@pytest.mark.parametrize("fault", ["cut", "flip", "flip of an answer"])
def test_whatever_happens_while_it_is_laid_is_a_line_that_is_down(laying: Laying, fault: str) -> None:
    line = laying.line
    sent, received = line.sent, line.received
    laying.ask()
    length = line.received - received if fault == "flip of an answer" else line.sent - sent
    for i in range(_MOMENTS):
        hits = line.hits
        at = int((i + 0.5) * length / _MOMENTS)
        if fault == "cut":
            line.cuts.append(line.sent + at)
        elif fault == "flip":
            line.flips.append(line.sent + at)
        else:
            line.answer_flips.append(line.received + at)
        with pytest.raises(CenterDownError) as caught:
            laying.ask()
        assert type(caught.value) is CenterDownError
        assert line.hits == hits + 1
        assert laying.ask() is None
