# SPDX-License-Identifier: Apache-2.0
"""A stream of httpcore over a channel of SSH, and TLS over such a stream.

A channel has no file descriptor, so TLS runs over bytes in memory (`ssl.MemoryBIO`): what it wants to send goes into the
channel, what the channel brings goes into it. No port is opened on this machine, and no thread stands between.
Invariant: what goes wrong comes out as httpcore's errors, or as ours. One thread at a time uses a stream.
Source: RFC 4254 section 7.2 (direct-tcpip); Python's ssl, "Memory BIO Support".
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import httpcore
from paramiko import Channel, SSHException

from agent.errors import AgentError

_T = TypeVar("_T")
_READ_BYTES: Final = 64 << 10
_PACKET_BYTES: Final = 32 << 10
"""What OpenSSH takes in one packet of a forwarded connection."""


@contextmanager
def translated(
    timeout: type[httpcore.TimeoutException], broken: type[httpcore.NetworkError], doubt: Callable[[], None]
) -> Iterator[None]:
    """Raise httpcore's errors in place of all but our own; `doubt` is called when nobody answered in time.

    paramiko's thread dies of whatever damaged bytes make it stumble over (a tag that does not fit, a number that is no
    such message), and hands that over to everybody who waits for it.
    """
    try:
        yield
    except AgentError:
        raise
    except TimeoutError as err:
        doubt()
        raise timeout(str(err) or "no answer in time") from err
    except Exception as err:
        raise broken(str(err) or type(err).__name__) from err


class ChannelStream(httpcore.NetworkStream):
    """Bytes over one channel. `doubt` is told when the channel stalls: the line below it may be dead."""

    def __init__(self, channel: Channel, doubt: Callable[[], None]) -> None:
        self._channel = channel
        self._doubt = doubt

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Give what has come, b"" at the end."""
        with translated(httpcore.ReadTimeout, httpcore.ReadError, self._doubt):
            self.set_timeout(timeout)
            return self._channel.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        with translated(httpcore.WriteTimeout, httpcore.WriteError, self._doubt):
            self.set_timeout(timeout)
            self.send(buffer)

    def set_timeout(self, timeout_s: float | None) -> None:
        """Set how long `send` and `receive` may wait at a stretch."""
        self._channel.settimeout(timeout_s)

    def send(self, data: bytes) -> None:
        """Send all of `data` within the time set before. Raises: SSHException, OSError."""
        view = memoryview(data)
        while view:
            # Sliced here to what a packet takes: paramiko would copy all the rest for each.
            sent = self._channel.send(bytes(view[:_PACKET_BYTES]))
            if not sent:
                raise EOFError("the channel was closed")
            view = view[sent:]

    def receive(self) -> bytes:
        """Give what has come within the time set before. Raises: SSHException, OSError."""
        return self._channel.recv(_READ_BYTES)

    def close(self) -> None:
        """Close the channel; a line that is gone has closed it."""
        with suppress(SSHException, EOFError, OSError):
            self._channel.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Give TLS over this stream, its handshake done."""
        try:
            with translated(httpcore.ConnectTimeout, httpcore.ConnectError, self._doubt):
                self.set_timeout(timeout)
                return _TlsStream(self, ssl_context, server_hostname, self._doubt)
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:  # Any: as the base class
        """Tell whether a read would return at once."""
        if info == "is_readable":
            channel = self._channel
            return channel.closed or channel.eof_received or channel.recv_ready()
        return None


class _TlsStream(httpcore.NetworkStream):
    """TLS over a `ChannelStream`."""

    def __init__(
        self, below: ChannelStream, context: ssl.SSLContext, server_hostname: str | None, doubt: Callable[[], None]
    ) -> None:
        """Shake hands. Raises: PinError, SSHException, OSError."""
        self._below = below
        self._doubt = doubt
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._perform(self._tls.do_handshake)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Give what has come, b"" at the end."""
        with translated(httpcore.ReadTimeout, httpcore.ReadError, self._doubt):
            self._below.set_timeout(timeout)
            try:
                return self._perform(lambda: self._tls.read(max_bytes))
            except ssl.SSLZeroReturnError:
                return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        with translated(httpcore.WriteTimeout, httpcore.WriteError, self._doubt):
            self._below.set_timeout(timeout)
            while buffer:
                written = self._perform(partial(self._tls.write, buffer))
                buffer = buffer[written:]

    def close(self) -> None:
        """Close the channel; the other end needs no farewell, for every message says how long it is."""
        self._below.close()

    def get_extra_info(self, info: str) -> Any:  # Any: as the base class
        """Tell whether a read would return at once, and of the TLS session."""
        if info == "ssl_object":
            return self._tls
        if info == "is_readable" and (self._incoming.pending or self._tls.pending()):
            return True
        return self._below.get_extra_info(info)

    def _perform(self, act: Callable[[], _T]) -> _T:
        """Do what TLS is asked to, moving bytes to and fro until it is done."""
        while True:
            try:
                done = act()
            except ssl.SSLWantReadError:
                self._flush()
                arrived = self._below.receive()
                if arrived:
                    self._incoming.write(arrived)
                else:
                    self._incoming.write_eof()
                continue
            except ssl.SSLError:
                with suppress(SSHException, EOFError, OSError):
                    self._flush()  # the alert that says why
                raise
            self._flush()
            return done

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._below.send(self._outgoing.read())
