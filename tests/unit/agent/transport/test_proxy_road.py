# SPDX-License-Identifier: Apache-2.0
"""The road through a proxy beside what every road does: accounts, refusals, nonsense, IPv6, and SSH over it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import AgentError, CenterDownError, ProxyError, SecretError
from agent.identity import Identity
from agent.secrets import Secrets
from agent.settings.road import ProxySettings, RoadSettings
from agent.transport.proxy import join_address
from agent.transport.roads import make_way
from tests.builders.receivers import Running, run_receiver
from tests.builders.roads import admit, proxy_way, ssh_settings, ssh_way
from tests.contract.transports import SECRETS
from tests.fakes.proxy import ConnectProxy
from tests.servers.sshd import SshServer, can_listen_on_ipv6


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_receiver(tmp_path_factory.mktemp("center")) as running:
        yield running


@pytest.fixture(scope="module")
def identity(center: Running, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    found = center.enroll(tmp_path_factory.mktemp("agent"))
    center.units.register_source("X013", "his", SECRETS)
    return found


def test_an_account_is_shown_from_the_secrets(identity: Identity, tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"JINSUO_SECRET_PROXY": "pass:word 金"})
    with ConnectProxy() as proxy:
        proxy.account = "clinic:pass:word 金"
        settings = ProxySettings(url=f"http://127.0.0.1:{proxy.port}", user="clinic", password="secret:proxy")
        with identity.connect(lambda: None, way=make_way(RoadSettings(proxy=settings), secrets)) as road:
            assert road.latest("his") is None


@pytest.mark.parametrize(
    ("answer", "error", "fact", "advice"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", ProxyError, "407", "password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", ProxyError, "403", "allow CONNECT to 127.0.0.1:"),
        (b"HTTP/1.0 405\r\n\r\n", ProxyError, "405", "allow CONNECT"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", CenterDownError, "502", "nothing is lost"),
        (b"HTTP/1.1 503 \xff\xfe\r\n\r\n", CenterDownError, "503", "nothing is lost"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CenterDownError, "does not answer as an HTTP proxy", "road.proxy"),
        (b"", CenterDownError, "does not answer as an HTTP proxy", "road.proxy"),
        (b"\x00" * 100_000, CenterDownError, "does not answer as an HTTP proxy", "road.proxy"),
    ],
)
def test_a_proxy_that_says_no_or_nonsense(
    identity: Identity, tmp_path: Path, answer: bytes, error: type[AgentError], fact: str, advice: str
) -> None:
    with ConnectProxy() as proxy, identity.connect(lambda: None, way=proxy_way(proxy.port, tmp_path)) as road:
        proxy.answer = answer
        with pytest.raises(error, match=fact) as caught:
            road.latest("his")
        assert type(caught.value) is error
        assert advice in caught.value.hint
        proxy.answer = None
        assert road.latest("his") is None


def test_a_proxy_that_is_not_there_is_named(identity: Identity, tmp_path: Path) -> None:
    with ConnectProxy() as proxy:
        port = proxy.port
    with (
        identity.connect(lambda: None, way=proxy_way(port, tmp_path)) as road,
        pytest.raises(CenterDownError, match=f"proxy 127.0.0.1:{port}"),
    ):
        road.latest("his")


def test_ssh_goes_through_a_proxy_too(
    identity: Identity, center: Running, ssh_server: SshServer, tmp_path: Path
) -> None:
    admit(ssh_server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
    with ConnectProxy() as proxy:
        settings = ProxySettings(url=f"http://127.0.0.1:{proxy.port}/")
        way = ssh_way(ssh_settings(ssh_server, tmp_path / "ssh.key"), tmp_path, settings)
        with identity.connect(lambda: None, way=way) as road:
            assert road.latest("his") is None
        assert proxy.targets == [f"127.0.0.1:{ssh_server.port}"]
        proxy.answer = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        with identity.connect(lambda: None, way=way) as road, pytest.raises(ProxyError):
            road.latest("his")


@pytest.mark.skipif(not can_listen_on_ipv6(), reason="this machine has no ::1")
def test_a_proxy_and_what_is_behind_it_may_have_addresses_of_ipv6(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center", host="::1") as center, ConnectProxy("::1") as proxy:
        way = proxy_way(proxy.port, tmp_path, "::1")
        identity = center.enroll(tmp_path / "agent", way=way)
        center.units.register_source("X013", "his", SECRETS)
        with identity.connect(lambda: None, way=way) as road:
            assert road.latest("his") is None
        assert set(proxy.targets) == {f"[::1]:{center.port}"}


def test_addresses_are_written_as_one_writes_them() -> None:
    assert join_address("2001:db8::1", 22) == "[2001:db8::1]:22"
    assert join_address("archives.example", 22) == "archives.example:22"


def test_a_password_that_is_not_there_is_told_when_it_is_needed(identity: Identity, tmp_path: Path) -> None:
    with ConnectProxy() as proxy:
        settings = ProxySettings(url=f"http://127.0.0.1:{proxy.port}", user="clinic", password="secret:proxy")
        way = make_way(RoadSettings(proxy=settings), Secrets(tmp_path, {}))
        with identity.connect(lambda: None, way=way) as road, pytest.raises(SecretError, match="no secret proxy"):
            road.latest("his")
        assert proxy.targets == []
