# SPDX-License-Identifier: Apache-2.0
"""Every interactive road against the real receiver on loopback: straight, by a proxy, by a real OpenSSH server."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from agent.errors import CenterDownError, SpoolError
from center.receive.tls import renew_tls
from tests.builders.receivers import NOW, run_receiver, statement_note
from tests.builders.roads import admit, proxy_way, ssh_settings, ssh_way
from tests.contract.transports import SECRETS, Road, TransportContract
from tests.fakes.line import FaultyLine
from tests.fakes.proxy import ConnectProxy
from tests.servers.sshd import SshServer

_DELAY_S = 0.005


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        center.units.register_source("X013", "his", SECRETS)
        with identity.connect(lambda: None) as transport:
            yield Road(center, identity, identity.connect, transport, tmp_path / "agent")


class TestHttps(TransportContract):
    """Everything that every road must do."""

    def test_a_pack_that_vanished_from_the_spool_is_told_as_that(self, road: Road) -> None:
        name, path = road.write_pack()
        path.unlink()
        with pytest.raises(SpoolError, match=name):
            road.transport.put_pack("his", name, path)


@pytest.mark.long
class TestHttpsByProxy(TransportContract):
    """The same through a proxy by CONNECT."""

    @pytest.fixture
    def road(self, tmp_path: Path) -> Iterator[Road]:
        with run_receiver(tmp_path / "center") as center, ConnectProxy() as proxy:
            way = proxy_way(proxy.port, tmp_path)
            identity = center.enroll(tmp_path / "agent", way=way)
            center.units.register_source("X013", "his", SECRETS)
            connect = partial(identity.connect, way=way)
            with connect(lambda: None) as transport:
                yield Road(center, identity, connect, transport, tmp_path / "agent")
            assert set(proxy.targets) == {f"127.0.0.1:{center.port}"}
            assert b"/v1/" not in proxy.carried


class TestSsh(TransportContract):
    """The same through an SSH server, by the line that the center writes."""

    @pytest.fixture
    def road(self, tmp_path: Path, ssh_server: SshServer) -> Iterator[Road]:
        with run_receiver(tmp_path / "center") as center:
            key = tmp_path / "agent" / "keys" / "ssh.key"
            admit(ssh_server, key, f"127.0.0.1:{center.port}")
            way = ssh_way(ssh_settings(ssh_server, key), tmp_path)
            identity = center.enroll(tmp_path / "agent", way=way)
            center.units.register_source("X013", "his", SECRETS)
            connect = partial(identity.connect, way=way)
            with connect(lambda: None) as transport:
                yield Road(center, identity, connect, transport, tmp_path / "agent")


@pytest.mark.long
class TestSlowHttps(TransportContract):
    """The same over a line on which every block waits."""

    @pytest.fixture
    def road(self, tmp_path: Path) -> Iterator[Road]:
        with run_receiver(tmp_path / "center") as center, FaultyLine(center.port) as line:
            identity = center.enroll(tmp_path / "agent")
            center.units.register_source("X013", "his", SECRETS)
            address = replace(identity.address, url=f"https://127.0.0.1:{line.port}")
            slow = replace(identity, address=address)
            line.delay_s = _DELAY_S
            with slow.connect(lambda: None) as transport:
                yield Road(center, slow, slow.connect, transport, tmp_path / "agent")


@pytest.mark.long
class TestSlowSsh(TransportContract):
    """Likewise, through an SSH server."""

    @pytest.fixture
    def road(self, tmp_path: Path, ssh_server: SshServer) -> Iterator[Road]:
        with run_receiver(tmp_path / "center") as center, FaultyLine(ssh_server.port) as line:
            key = tmp_path / "ssh.key"
            admit(ssh_server, key, f"127.0.0.1:{center.port}")
            way = ssh_way(ssh_settings(ssh_server, key, port=line.port), tmp_path)
            line.delay_s = _DELAY_S
            identity = center.enroll(tmp_path / "agent", way=way)
            center.units.register_source("X013", "his", SECRETS)
            connect = partial(identity.connect, way=way)
            with connect(lambda: None) as transport:
                yield Road(center, identity, connect, transport, tmp_path / "agent")


def test_the_road_goes_on_when_the_center_was_started_anew(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        center.units.register_source("X013", "his", SECRETS)
        transport = identity.connect(lambda: None)
        transport.submit("his", statement_note(identity, "his"))
        port = center.port
    with pytest.raises(CenterDownError, match="does not answer"):
        transport.latest("his")
    renew_tls(tmp_path / "center" / "tls", "renamed.example", NOW)
    # Another certificate with the same key, nonces of another process: the old transport finds its way.
    with run_receiver(tmp_path / "center", port):
        assert transport.submit("his", statement_note(identity, "his", 2)).receipt is not None
    transport.close()


def test_a_clock_of_the_agent_that_is_off_by_years_does_not_matter(tmp_path: Path) -> None:
    # The receiver's certificate begins in 2026-11; whatever this machine's clock says, only the pin is looked at. The
    # center's own clock here stands in 2026-11 too, while the agent never reads any.
    with run_receiver(tmp_path / "center") as center:
        center.clock.now = center.clock.now.replace(year=2050)
        identity = center.enroll(tmp_path / "agent")
        center.clock.now = center.clock.now.replace(year=2051)
        with identity.connect(lambda: None) as transport:
            assert transport.latest("his") is None
