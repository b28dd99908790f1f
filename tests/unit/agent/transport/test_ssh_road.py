# SPDX-License-Identifier: Apache-2.0
"""The road by SSH beside what every road does: sessions that come back, pins in every form, keys, IPv6, rates."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpcore
import paramiko
import pytest
from paramiko.packet import Packetizer

from agent.errors import CenterDownError, RoadError
from agent.identity import Identity
from agent.latency import Latency
from agent.load import Reason
from agent.secrets import Secrets
from agent.settings.hostkey import parse_host_key
from agent.settings.road import RoadSettings
from agent.throttle import Limits, Surroundings, Throttle
from agent.transport.pinned import PinnedContext
from agent.transport.roads import make_way
from agent.transport.sshkey import load_private, make_key, public_line
from agent.transport.way import Way
from center.receive.tls import read_spki_sha256
from evidence.digest import pack_name
from tests.builders.receivers import Running, run_receiver
from tests.builders.roads import admit, ssh_settings, ssh_way
from tests.contract.transports import SECRETS
from tests.fakes.line import FaultyLine
from tests.fakes.machine import FakeHost, FakeTime
from tests.servers.sshd import SshServer, can_listen_on_ipv6, make_host_key


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_receiver(tmp_path_factory.mktemp("center")) as running:
        yield running


@pytest.fixture(scope="module")
def identity(center: Running, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    found = center.enroll(tmp_path_factory.mktemp("agent"))
    center.units.register_source("X013", "his", SECRETS)
    return found


@pytest.fixture
def way(center: Running, ssh_server: SshServer, tmp_path: Path) -> Way:
    admit(ssh_server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
    return ssh_way(ssh_settings(ssh_server, tmp_path / "ssh.key"), tmp_path)


def sessions(server: SshServer) -> int:
    return sum("Accepted publickey" in line for line in server.log)


def test_many_requests_take_one_session(identity: Identity, way: Way, ssh_server: SshServer) -> None:
    before = sessions(ssh_server)
    with identity.connect(lambda: None, way=way) as road:
        for _ in range(5):
            assert road.latest("his") is None
    assert sessions(ssh_server) == before + 1


def test_a_server_that_was_started_anew_is_found_again(center: Running, identity: Identity, tmp_path: Path) -> None:
    server = SshServer.create()
    try:
        admit(server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
        way = ssh_way(ssh_settings(server, tmp_path / "ssh.key"), tmp_path)
        with identity.connect(lambda: None, way=way) as road:
            assert road.latest("his") is None
            server.stop()
            for _ in range(2):
                with pytest.raises(CenterDownError, match=rf"\(ssh {server.user}@127\.0\.0\.1:{server.port}\)"):
                    road.latest("his")
            server.start()
            assert road.latest("his") is None
    finally:
        server.remove()


def test_a_server_that_gives_no_sessions_still_leads_to_the_center(
    center: Running, identity: Identity, tmp_path: Path
) -> None:
    server = SshServer.create(more=["MaxSessions 0"])
    try:
        admit(server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
        way = ssh_way(ssh_settings(server, tmp_path / "ssh.key"), tmp_path)
        with identity.connect(lambda: None, way=way) as road:
            assert road.latest("his") is None
    finally:
        server.remove()


def test_a_session_on_which_nobody_answers_is_given_up(center: Running, ssh_server: SshServer, tmp_path: Path) -> None:
    with FaultyLine(ssh_server.port) as line:
        admit(ssh_server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
        settings = ssh_settings(ssh_server, tmp_path / "ssh.key", port=line.port)
        backend = ssh_way(settings, tmp_path).open()
        before = sessions(ssh_server)

        def connect(timeout_s: float) -> httpcore.NetworkStream:
            return backend.connect_tcp("ignored", center.port, timeout_s)

        # An answer that does not come.
        stream = connect(10.0).start_tls(
            PinnedContext(read_spki_sha256(center.folder / "tls" / "center.crt")), None, 10.0
        )
        with pytest.raises(httpcore.ReadTimeout):
            stream.read(1, 0.05)
        # A channel that does not open.
        connect(10.0).close()
        assert sessions(ssh_server) == before + 2
        line.thawed.clear()
        with pytest.raises((httpcore.ConnectTimeout, httpcore.ConnectError)):
            connect(0.2)
        # A server that says nothing.
        with pytest.raises((httpcore.ConnectTimeout, httpcore.ConnectError)):
            connect(0.2)
        line.thawed.set()
        connect(10.0).close()
        assert sessions(ssh_server) == before + 3
        backend.close()
        with pytest.raises(httpcore.ConnectError):
            connect(10.0)


def test_a_center_that_does_not_run_is_down_and_not_a_refusal(
    identity: Identity, ssh_server: SshServer, tmp_path: Path
) -> None:
    admit(ssh_server, tmp_path / "ssh.key", "127.0.0.1:9")
    way = ssh_way(ssh_settings(ssh_server, tmp_path / "ssh.key", forward="127.0.0.1:9"), tmp_path)
    with (
        identity.connect(lambda: None, way=way) as road,
        pytest.raises(CenterDownError, match=r"127\.0\.0\.1:9") as caught,
    ):
        road.latest("his")
    assert "road.ssh.forward" in caught.value.hint


def test_a_closed_road_stays_closed(identity: Identity, way: Way, ssh_server: SshServer) -> None:
    road = identity.connect(lambda: None, way=way)
    road.latest("his")
    road.close()
    before = sessions(ssh_server)
    with pytest.raises(CenterDownError):
        road.latest("his")
    assert sessions(ssh_server) == before


def test_aes_gcm_is_what_both_ends_agree_on(monkeypatch: pytest.MonkeyPatch, identity: Identity, way: Way) -> None:
    seen: list[paramiko.Transport] = []
    opened = paramiko.Transport.open_channel

    def watch(session: paramiko.Transport, *words: object, **options: object) -> paramiko.Channel:
        seen.append(session)
        return opened(session, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(paramiko.Transport, "open_channel", watch)
    with identity.connect(lambda: None, way=way) as road:
        road.latest("his")
        assert seen[0].local_cipher == seen[0].remote_cipher == "aes256-gcm@openssh.com"
    assert not seen[0].is_alive()


def test_keys_that_are_renewed_on_the_way_disturb_nothing(
    monkeypatch: pytest.MonkeyPatch, center: Running, identity: Identity, way: Way, tmp_path: Path
) -> None:
    # A session renews its keys after 512 MiB; here after each MiB, in the midst of packs.
    monkeypatch.setattr(Packetizer, "REKEY_BYTES", 1 << 20)
    renewed: list[object] = []
    activate = paramiko.Transport._activate_outbound

    def watch(session: paramiko.Transport) -> None:
        renewed.append(session)
        activate(session)

    monkeypatch.setattr(paramiko.Transport, "_activate_outbound", watch)
    data = bytes(range(256)) * (3 << 12)
    path = tmp_path / pack_name([data])
    path.write_bytes(data)
    with identity.connect(lambda: None, way=way) as road:
        for _ in range(3):
            center.admission.packs.clear()
            road.put_pack("his", path.name, path)
            assert center.admission.packs["X013", "his", path.name] == data
    # The first are the session's own; how often they are renewed after that hangs on how much is on its way meanwhile.
    assert len(renewed) >= 3
    assert len(set(renewed)) == 1


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_any_kind_of_host_key_can_be_pinned_by_its_line(
    kind: str, center: Running, identity: Identity, tmp_path: Path
) -> None:
    make_host_key(tmp_path / "other", kind)
    server = SshServer.create(more=[f"HostKey {tmp_path / 'other'}"])
    try:
        admit(server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
        words = (tmp_path / "other.pub").read_text().split()
        for pin in (f"{words[0]} {words[1]}", f"[127.0.0.1]:{server.port} {words[0]} {words[1]} a comment"):
            settings = ssh_settings(server, tmp_path / "ssh.key").model_copy(update={"host_key": pin})
            with identity.connect(lambda: None, way=ssh_way(settings, tmp_path)) as road:
                assert road.latest("his") is None
    finally:
        server.remove()


def test_a_fingerprint_pins_the_ed25519_key(
    center: Running, identity: Identity, ssh_server: SshServer, tmp_path: Path
) -> None:
    assert parse_host_key(ssh_server.host_key).fingerprint == ssh_server.fingerprint
    admit(ssh_server, tmp_path / "ssh.key", f"127.0.0.1:{center.port}")
    settings = ssh_settings(ssh_server, tmp_path / "ssh.key").model_copy(update={"host_key": ssh_server.fingerprint})
    with identity.connect(lambda: None, way=ssh_way(settings, tmp_path)) as road:
        assert road.latest("his") is None


@pytest.mark.skipif(not can_listen_on_ipv6(), reason="this machine has no ::1")
def test_all_ends_may_have_addresses_of_ipv6(tmp_path: Path) -> None:
    server = SshServer.create(host="::1")
    try:
        with run_receiver(tmp_path / "center", host="::1") as center:
            assert center.url.startswith("https://[::1]:")
            target = f"[::1]:{center.port}"
            admit(server, tmp_path / "ssh.key", target)
            way = ssh_way(ssh_settings(server, tmp_path / "ssh.key", forward=target), tmp_path)
            identity = center.enroll(tmp_path / "agent", way=way)
            center.units.register_source("X013", "his", SECRETS)
            for connect in (partial(identity.connect, way=way), identity.connect):
                with connect(lambda: None) as road:
                    assert road.latest("his") is None
    finally:
        server.remove()


# The key


def test_a_key_is_made_once_for_its_owner_alone_and_fits_openssh(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ssh.key"
    assert make_key(path)
    before = path.read_bytes()
    assert not make_key(path)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], check=True, capture_output=True, text=True)
    assert public_line(load_private(path), "x").split()[:2] == told.stdout.split()[:2]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    make_key(tmp_path / "ssh.key")
    (tmp_path / "ssh.key").chmod(0o644)
    with pytest.raises(RoadError, match="0644"):
        load_private(tmp_path / "ssh.key")


def test_a_key_that_is_not_there_or_is_none_is_told_with_what_to_do(
    identity: Identity, ssh_server: SshServer, tmp_path: Path
) -> None:
    way = ssh_way(ssh_settings(ssh_server, tmp_path / "ssh.key"), tmp_path)
    with (
        identity.connect(lambda: None, way=way) as road,
        pytest.raises(RoadError, match="there is no SSH key") as caught,
    ):
        road.latest("his")
    assert "jinsuo-agent ssh-key" in caught.value.hint
    for kind, text in (("rsa", None), ("none", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")):
        path = tmp_path / kind
        if text is None:
            make_host_key(path, "rsa")
        else:
            path.write_bytes(text)
            path.chmod(0o600)
        with pytest.raises(RoadError, match="cannot be used"):
            load_private(path)


def test_a_missing_library_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, ssh_server: SshServer, tmp_path: Path
) -> None:
    settings = RoadSettings(kind="ssh", ssh=ssh_settings(ssh_server, tmp_path / "ssh.key"))
    monkeypatch.setitem(sys.modules, "paramiko", None)
    with pytest.raises(RoadError, match="paramiko") as caught:
        make_way(settings, Secrets(tmp_path, {}))
    assert "jinsuo[agent,ssh]" in caught.value.hint


# The pace


def test_the_rate_of_sending_holds(center: Running, identity: Identity, way: Way, tmp_path: Path) -> None:
    time = FakeTime()
    rate, size = 1 << 20, 6 << 20
    around = Surroundings(time, time.sleep, lambda: center.clock.now, FakeHost(time), lambda: None)
    throttle = Throttle(Limits(send_rate=rate), around, Latency(None))
    path = tmp_path / pack_name([bytes(size)])
    path.write_bytes(bytes(size))
    with identity.connect(lambda: None, throttle.send, way) as road:
        road.put_pack("his", path.name, path)
    # A second's worth goes at once; the clock stands but for what is slept.
    assert sum(time.slept) == pytest.approx((size - rate) / rate, rel=0.05)
    assert throttle.pauses_s[Reason.SEND_RATE] == pytest.approx(sum(time.slept))
    assert len(center.admission.packs["X013", "his", path.name]) == size
