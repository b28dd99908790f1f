# SPDX-License-Identifier: Apache-2.0
"""The way through the center's SSH server: the same `/v1`, TLS inside, each connection a channel of one SSH session.

The session is opened with the first stream and kept; when it is gone the next stream opens another. Order: the server
proves that it holds the pinned host key, only then is it shown who comes (this agent's key), then it is asked to connect
us to the center (direct-tcpip), and to nobody else. What SSH guards is the way; that it ends at the center is proven
by TLS and its pin, as on every road. Thread-safe. Source: RFC 4253, 4252, 4254; decisions 0063 to 0065; paramiko 5.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import paramiko
from paramiko.packet import Packetizer

from agent.errors import CenterDownError, ForwardError, HostKeyError, SshLoginError
from agent.settings.hostkey import HostKey
from agent.transport.channel import ChannelStream, translated
from agent.transport.proxy import join_address
from agent.transport.way import DIRECT, Backend, Way
from terminal.language import Text

CIPHERS: Final = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
"""AES-GCM first: one pass where CTR takes another for the MAC."""
MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")

_SILENCE_MS: Final = 120_000
"""So long may what we have sent stay without an acknowledgement until the system gives the connection up."""
_MOST_PACKET_BYTES: Final = 256 << 10
"""As OpenSSH has it; we ask for packets of 32 KiB."""
_PROHIBITED: Final = 1
_TIMEOUT: Final = "timeout"
"""What paramiko says of a login without an answer, which it raises as if it were a refusal."""
_WAIT = Text(zh="数据不会丢失，稍后自动重试", en="nothing is lost; it is tried again later")

# What paramiko logs of broken lines are traces; our errors say the same with what to do.
_SILENT: Final = "agent.transport.ssh.paramiko"
logging.getLogger(_SILENT).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class SshWay:
    """Through the SSH server at host and port to where its machine reaches the center.

    `forward`: that place; None: port of the center's URL at 127.0.0.1. `load_key` gives this agent's key (RoadError).
    `over`: the way to the SSH server itself.
    """

    host: str
    port: int
    user: str
    host_key: HostKey
    load_key: Callable[[], paramiko.PKey]
    forward: tuple[str, int] | None = None
    keepalive_s: int = 30
    over: Way = DIRECT

    @property
    def name(self) -> str:
        """Give account, host and port as one writes them."""
        return f"{self.user}@{join_address(self.host, self.port)}"

    @property
    def through(self) -> str:
        """Give the server, and what leads to it."""
        return f" (ssh {self.name}){self.over.through}"

    def open(self) -> Backend:
        """Give a backend; the session is opened with the first stream."""
        return _SshBackend(self)

    def session(self, timeout_s: float) -> paramiko.Transport:
        """Give a session of one's own with the server, both ends proven. Raises: as a stream's opening."""
        return _SshBackend(self)._open(timeout_s)


class _BoundedPacketizer(Packetizer):
    """Read no more for a packet than any may have: its length comes before whatever proves it."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Give `n` bytes. Raises: SSHException if no packet has so many; EOFError."""
        if n > _MOST_PACKET_BYTES:
            raise paramiko.SSHException(f"a packet says that it has {n} bytes")
        return super().read_all(n, check_rekey)


class _SshBackend(Backend):
    def __init__(self, way: SshWay) -> None:
        self._way = way
        self._below = way.over.open()
        self._lock = threading.Lock()
        self._session: paramiko.Transport | None = None
        self._is_closed = False

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the URL's host is a name; what counts is where the SSH server reaches the center
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - of sockets
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - of sockets; Any: as the base class
    ) -> httpcore.NetworkStream:
        """Give a stream to the center. Raises: HostKeyError, SshLoginError, ForwardError, RoadError; httpcore's errors."""
        target = self._way.forward or ("127.0.0.1", port)
        timeout_s = 10.0 if timeout is None else timeout
        session = self._enter(timeout_s)

        def doubt() -> None:
            self._drop(session)

        with translated(httpcore.ConnectTimeout, httpcore.ConnectError, doubt):
            try:
                channel = session.open_channel("direct-tcpip", target, ("127.0.0.1", 0), timeout=timeout_s)
            except paramiko.ChannelException as err:
                raise self._explain(err, join_address(*target)) from err
            except paramiko.SSHException:
                doubt()  # also where nobody answered in time
                raise
        return ChannelStream(channel, doubt)

    def close(self) -> None:
        """End the session, and every stream with it."""
        with self._lock:
            self._is_closed = True
            session, self._session = self._session, None
        if session is not None:
            _end(session)
        self._below.close()

    def _enter(self, timeout_s: float) -> paramiko.Transport:
        with self._lock:
            if self._session is not None and not self._session.is_active():
                _end(self._session)
                self._session = None
            if self._session is None:
                if self._is_closed:
                    raise httpcore.ConnectError("the road is closed")
                self._session = self._open(timeout_s)
            return self._session

    def _drop(self, session: paramiko.Transport) -> None:
        """End a session that does not answer; the next stream opens another."""
        with self._lock:
            if self._session is session:
                self._session = None
        _end(session)

    def _open(self, timeout_s: float) -> paramiko.Transport:
        way = self._way
        stream = self._below.connect_tcp(way.host, way.port, timeout_s)
        line = stream.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_MS)
        session = paramiko.Transport(line, packetizer_class=_BoundedPacketizer)
        try:
            with translated(httpcore.ConnectTimeout, httpcore.ConnectError, lambda: None):
                self._introduce(session, timeout_s)
        except BaseException:
            _end(session)
            raise
        session.set_keepalive(way.keepalive_s)
        return session

    def _introduce(self, session: paramiko.Transport, timeout_s: float) -> None:
        """Prove who is at the other end, then who we are. Raises: HostKeyError, SshLoginError, RoadError; SSH's errors."""
        way = self._way
        session.set_log_channel(_SILENT)
        session.daemon = True
        session.banner_timeout = session.handshake_timeout = session.auth_timeout = timeout_s
        options = session.get_security_options()
        options.ciphers, options.digests = CIPHERS, MACS
        if way.host_key.algorithms:
            options.key_types = way.host_key.algorithms
        session.start_client(timeout=timeout_s)
        if not session.initial_kex_done:
            raise TimeoutError("the SSH server did not agree on keys in time")
        found = session.get_remote_server_key()
        if not way.host_key.fits(found.asbytes()):
            raise _foreign(way, found)
        try:
            left = session.auth_publickey(way.user, way.load_key())
        except paramiko.AuthenticationException as err:
            if not session.is_active() or _TIMEOUT in str(err):
                raise httpcore.ConnectError(str(err)) from err  # the line's end, not an answer
            raise _not_let_in(way) from err
        if left:
            raise _not_let_in(way)
        _hasten(session, timeout_s)

    def _explain(self, err: paramiko.ChannelException, target: str) -> ForwardError | CenterDownError:
        way = self._way
        if err.code != _PROHIBITED:
            return CenterDownError(
                Text(
                    zh=f"SSH 服务器 {way.name} 那边的 {target} 没有应答：{err.text}",
                    en=f"nobody answers at {target}, beyond the SSH server {way.name}: {err.text}",
                ),
                hint=Text(
                    zh=f"中心可能没有运行，或监听在别处（road.ssh.forward）；{_WAIT.zh}",
                    en=f"the center may not run, or listen elsewhere (`road.ssh.forward`); {_WAIT.en}",
                ),
            )
        return ForwardError(
            Text(
                zh=f"SSH 服务器 {way.name} 不准连到 {target}",
                en=f"the SSH server {way.name} does not let this agent's key connect to {target}",
            ),
            hint=Text(
                zh="请档案馆查看 `jinsuo-center ssh-key list` 中准许的地址；road.ssh.forward 应与之相同",
                en="ask the archives which address `jinsuo-center ssh-key list` names; `road.ssh.forward` must be the same",
            ),
        )


def _hasten(session: paramiko.Transport, timeout_s: float) -> None:
    """Have the server send its answers at once.

    sshd turns Nagle's algorithm off (TCP_NODELAY) when a command is asked for, and not for connections that it passes on.
    Without it each answer waits for our acknowledgement of the small packet before it, which the system delays: 40 ms a
    pack on Linux. So a command is asked for; the key's line makes it `/bin/false`. A server that has none to give says so.
    """
    with suppress(paramiko.SSHException, EOFError, OSError):
        channel = session.open_session(timeout=timeout_s)
        try:
            channel.settimeout(timeout_s)
            channel.exec_command("true")
        finally:
            channel.close()


def _end(session: paramiko.Transport) -> None:
    session.close()
    if session.is_alive():
        session.join(5.0)
    session.sock.close()


def _foreign(way: SshWay, found: paramiko.PKey) -> HostKeyError:
    told = f"{found.get_name()} {found.fingerprint}"
    return HostKeyError(
        Text(
            zh=f"SSH 服务器 {join_address(way.host, way.port)} 的主机密钥是 {told}，设置中是 {way.host_key}；没有向它出示任何内容",
            en=f"the SSH server at {join_address(way.host, way.port)} holds the host key {told}, but the settings name "
            f"{way.host_key}; nothing was shown to it",
        ),
        hint=Text(
            zh="线路上可能有人窃听，或该服务器换了密钥：打电话给档案馆核对指纹，再改 road.ssh.host_key",
            en="somebody may be on the line, or the server has a new key: compare fingerprints with the archives by "
            "telephone before you change `road.ssh.host_key`",
        ),
    )


def _not_let_in(way: SshWay) -> SshLoginError:
    return SshLoginError(
        Text(
            zh=f"SSH 服务器 {way.name} 不认本采集端的密钥",
            en=f"the SSH server {way.name} does not take this agent's key",
        ),
        hint=Text(
            zh="把 `jinsuo-agent ssh-key` 打印的一行交给档案馆，由其运行 `jinsuo-center ssh-key add`",
            en="give the line that `jinsuo-agent ssh-key` prints to the archives, who run `jinsuo-center ssh-key add`",
        ),
    )
