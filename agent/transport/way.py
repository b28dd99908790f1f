# SPDX-License-Identifier: Apache-2.0
"""The way that bytes take to the center: what stands below TLS.

A way opens a backend of httpcore: one call that gives a stream to host and port, which TLS to the center's key is then
put over. So whoever carries the bytes, a proxy or an SSH server, sees where to and how much, never what, and a wrong
one is found by the pin. Here is the direct way; the others are in modules of their own. Source: httpcore 1
(`NetworkBackend`, `NetworkStream`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import httpcore


class Backend(httpcore.NetworkBackend):
    """A backend with an end. Thread-safe."""

    def close(self) -> None:
        """Let go of what several streams have in common; the streams end with it."""


class Way(Protocol):
    """One way. `through`: what it leads through, for messages, beginning with a blank; empty if nothing."""

    @property
    def through(self) -> str:
        """Give what it leads through."""

    def open(self) -> Backend:
        """Give a backend; nothing is sent before the first stream is asked for."""


class SocketBackend(Backend):
    """A socket a stream."""

    def __init__(self) -> None:
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # Any: as the base class
    ) -> httpcore.NetworkStream:  # fmt: skip
        """Give a stream to host and port."""
        return self._sockets.connect_tcp(host, port, timeout, local_address, socket_options)


@dataclass(frozen=True, slots=True)
class DirectWay:
    """Straight to the center."""

    through: str = ""

    def open(self) -> Backend:
        """Give a backend."""
        return SocketBackend()


DIRECT = DirectWay()
