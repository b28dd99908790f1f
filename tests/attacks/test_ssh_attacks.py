# SPDX-License-Identifier: Apache-2.0
"""Whoever holds an agent's SSH key, stands in the place of the SSH server, or runs it: what each can do, and cannot."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from agent.errors import CenterDownError, DropBoxError, ForwardError, HostKeyError, PinError, ProxyError, SshLoginError
from agent.identity import Identity, enroll
from agent.settings.hostkey import parse_host_key
from agent.settings.road import SshSettings
from agent.transport.proxy import Proxy, ProxyWay
from agent.transport.sftpbox import SftpBox
from agent.transport.ssh import SshWay
from agent.transport.sshkey import load_private, make_key, public_line
from tests.attacks.test_line_attacks import impostor
from tests.builders.receivers import Running, run_receiver
from tests.builders.roads import admit, proxy_way, ssh_settings, ssh_way
from tests.builders.world import Line
from tests.contract.transports import SECRETS
from tests.fakes import endless_sftp
from tests.fakes.proxy import ConnectProxy
from tests.servers.sshd import SshServer


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_receiver(tmp_path_factory.mktemp("center")) as running:
        running.units.add("X013", "a")
        yield running


@pytest.fixture(scope="module")
def identity(center: Running, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("agent")
    found, _ = enroll(folder, center.url, center.units.rekey("X013").encode())
    center.units.register_source("X013", "his", SECRETS)
    return found


@pytest.fixture
def key(center: Running, ssh_server: SshServer, tmp_path: Path) -> Path:
    """Give an agent's key that is let through to the center."""
    path = tmp_path / "ssh.key"
    admit(ssh_server, path, f"127.0.0.1:{center.port}")
    return path


@contextmanager
def session(server: SshServer, key: Path) -> Iterator[paramiko.Transport]:
    """Give a session of whoever holds the key, with a client that asks for whatever it likes."""
    with socket.create_connection((server.host, server.port), 60) as line:
        transport = paramiko.Transport(line)
        transport.start_client(timeout=60)
        transport.auth_publickey(server.user, paramiko.Ed25519Key.from_private_key_file(str(key)))
        try:
            yield transport
        finally:
            transport.close()


# Whoever holds the key


def test_an_agents_key_runs_no_command(key: Path, ssh_server: SshServer, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    with session(ssh_server, key) as transport:
        channel = transport.open_session(timeout=60)
        channel.exec_command(f"touch {proof}")
        assert channel.recv_exit_status() == 1
    assert not proof.exists()


def test_an_agents_key_opens_no_shell_and_no_terminal(key: Path, ssh_server: SshServer) -> None:
    with session(ssh_server, key) as transport:
        channel = transport.open_session(timeout=60)
        with pytest.raises(paramiko.SSHException):
            channel.get_pty()
        channel = transport.open_session(timeout=60)
        channel.invoke_shell()
        assert channel.recv_exit_status() == 1


def test_an_agents_key_reads_and_writes_no_file(key: Path, ssh_server: SshServer) -> None:
    with session(ssh_server, key) as transport, pytest.raises((paramiko.SSHException, EOFError)):
        paramiko.SFTPClient.from_transport(transport)


def test_an_agents_key_leads_to_nothing_but_the_center(key: Path, ssh_server: SshServer, center: Running) -> None:
    with session(ssh_server, key) as transport:
        for target in (
            ("127.0.0.1", ssh_server.port),
            ("localhost", center.port),
            ("::1", center.port),
            ("127.0.0.2", 1),
        ):
            with pytest.raises(paramiko.ChannelException) as caught:
                transport.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=60)
            assert caught.value.code == 1, target
        transport.open_channel("direct-tcpip", ("127.0.0.1", center.port), ("127.0.0.1", 0), timeout=60).close()


def test_an_agents_key_listens_on_no_port_of_the_archives(key: Path, ssh_server: SshServer, center: Running) -> None:
    with session(ssh_server, key) as transport:
        for port in (0, 8443, center.port):
            for host in ("", "127.0.0.1", "0.0.0.0"):
                with pytest.raises(paramiko.SSHException):
                    transport.request_port_forward(host, port)


# Whoever stands in the place of the server


def test_another_host_key_is_shown_nothing(key: Path, identity: Identity, center: Running, tmp_path: Path) -> None:
    false = SshServer.create()
    try:
        admit(false, key, f"127.0.0.1:{center.port}")  # it would let the agent in, and through
        settings = ssh_settings(false, key, forward=f"127.0.0.1:{center.port}")
        for pin in (
            "SHA256:" + "A" * 43,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKyRt8o9hdNVxyj1VCTJlTfWgRY2F5gM8bJaQvJJlCXT",
        ):
            way = ssh_way(settings.model_copy(update={"host_key": pin}), tmp_path)
            with identity.connect(lambda: None, way=way) as road, pytest.raises(HostKeyError) as caught:
                road.latest("his")
            assert isinstance(caught.value, PinError)
            assert false.fingerprint in str(caught.value)
            assert "telephone" in caught.value.hint
        false.stop()
        assert not [line for line in false.log if "publickey" in line or "Accepted" in line or identity.unit in line]
    finally:
        false.remove()


def test_a_length_that_no_packet_has_is_not_waited_for(identity: Identity, key: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            near, _ = listener.accept()
            with near:
                near.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\x7f\xff\xff\xfc" + b"\x00" * 12)
                while near.recv(1 << 16):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        settings = SshSettings(
            host="127.0.0.1", port=listener.getsockname()[1], user="u", host_key="SHA256:" + "A" * 43, key=key
        )
        with (
            identity.connect(lambda: None, way=ssh_way(settings, tmp_path)) as road,
            pytest.raises(CenterDownError, match="has 21474836"),
        ):
            road.latest("his")
        thread.join(60)
        assert not thread.is_alive()


def test_another_host_key_gets_no_secret_of_a_code(center: Running, tmp_path: Path) -> None:
    code = center.units.add("X031", "a").encode()
    false = SshServer.create()
    try:
        admit(false, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
        settings = ssh_settings(false, tmp_path / "ssh.key").model_copy(update={"host_key": "SHA256:" + "B" * 43})
        with pytest.raises(HostKeyError):
            enroll(tmp_path / "agent", center.url, code, ssh_way(settings, tmp_path))
    finally:
        false.remove()
    assert center.units.get("X031").statement_key is None


# Whoever runs the server, or the proxy


def test_a_server_that_leads_elsewhere_gets_no_byte(
    key: Path, identity: Identity, ssh_server: SshServer, tmp_path: Path
) -> None:
    with impostor(tmp_path / "impostor") as (port, arrived):
        admit(ssh_server, key, f"127.0.0.1:{port}")
        way = ssh_way(ssh_settings(ssh_server, key, forward=f"127.0.0.1:{port}"), tmp_path)
        with identity.connect(lambda: None, way=way) as road, pytest.raises(PinError, match="nothing was sent to it"):
            road.submit("his", b"secret")
    assert b"".join(arrived) == b""


def test_a_proxy_that_leads_elsewhere_gets_no_byte(identity: Identity, tmp_path: Path) -> None:
    with impostor(tmp_path / "impostor") as (port, arrived), ConnectProxy() as proxy:
        address = replace(identity.address, url=f"https://127.0.0.1:{port}")
        liar = replace(identity, address=address)
        way = proxy_way(proxy.port, tmp_path)
        with liar.connect(lambda: None, way=way) as road, pytest.raises(PinError, match="nothing was sent to it"):
            road.submit("his", b"secret")
    assert b"".join(arrived) == b""


class _Tap(Line):
    """A line that keeps what agents send."""

    def __init__(self, target: int) -> None:
        self.kept = bytearray()
        super().__init__(target)

    def carry(self, data: bytes, is_sent: bool) -> Iterator[bytes]:
        if is_sent:
            self.kept += data
        yield data


def test_a_server_sees_no_request_and_no_content(
    key: Path, identity: Identity, center: Running, ssh_server: SshServer, tmp_path: Path
) -> None:
    with _Tap(center.port) as tap:  # what the server passes on to the center is all that it sees
        admit(ssh_server, key, f"127.0.0.1:{tap.port}")
        way = ssh_way(ssh_settings(ssh_server, key, forward=f"127.0.0.1:{tap.port}"), tmp_path)
        with identity.connect(lambda: None, way=way) as road:
            assert road.latest("his") is None
        assert len(tap.kept) > 500
        for word in (b"/v1/", b"his", b"X013", b"Authorization"):
            assert word not in tap.kept


def test_a_key_that_nobody_let_in_is_told_what_to_do(
    identity: Identity, center: Running, ssh_server: SshServer, tmp_path: Path
) -> None:
    make_key(tmp_path / "new.key")
    way = ssh_way(ssh_settings(ssh_server, tmp_path / "new.key"), tmp_path)
    with identity.connect(lambda: None, way=way) as road, pytest.raises(SshLoginError) as caught:
        road.latest("his")
    assert "jinsuo-agent ssh-key" in caught.value.hint


def test_a_place_that_the_key_does_not_lead_to_is_told_as_that(
    key: Path, identity: Identity, ssh_server: SshServer, tmp_path: Path
) -> None:
    way = ssh_way(ssh_settings(ssh_server, key, forward="127.0.0.1:1"), tmp_path)
    with identity.connect(lambda: None, way=way) as road, pytest.raises(ForwardError, match=r"127\.0\.0\.1:1"):
        road.latest("his")


def test_a_proxy_that_refuses_is_told_as_that_without_its_password(identity: Identity, tmp_path: Path) -> None:
    with ConnectProxy() as proxy:
        proxy.account = "clinic:right"
        way = ProxyWay(Proxy("127.0.0.1", proxy.port, "clinic", lambda: "wrong-and-secret"))
        with identity.connect(lambda: None, way=way) as road, pytest.raises(ProxyError, match="407") as caught:
            road.latest("his")
    assert "wrong-and-secret" not in str(caught.value) + caught.value.hint + repr(way)


# Whoever runs an SFTP server


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("pause_s", "why"), [(0, "has more than 100000 files"), (0.2, "no end within 3 s")])
def test_a_folder_without_end_holds_no_agent(ssh_server: SshServer, tmp_path: Path, pause_s: float, why: str) -> None:
    key = tmp_path / "sftp.key"
    make_key(key)
    program = f"{sys.executable} {endless_sftp.__file__} {pause_s}"
    with ssh_server.keys.open("a") as keys:
        keys.write(f'restrict,command="{program}" {public_line(load_private(key), "test")}\n')
    host_key = parse_host_key(ssh_server.host_key)
    way = SshWay(ssh_server.host, ssh_server.port, ssh_server.user, host_key, lambda: _paramiko_key(key))
    began = time.monotonic()
    with SftpBox(way, "/outbox", "/inbox", look_s=3) as box, pytest.raises(DropBoxError, match=why):
        box.receipts()
    assert not pause_s or time.monotonic() - began >= 3, "it was looking until then"


def _paramiko_key(path: Path) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key_file(str(path))
