# SPDX-License-Identifier: Apache-2.0
"""TLS to one known key."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import PinError
from agent.transport.pinned import PinnedContext
from center.receive.tls import TlsFiles, create_tls, read_spki_sha256

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


@contextmanager
def listening(files: TlsFiles, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = most
    context.load_cert_chain(files.certificate, files.key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                raw, _ = server.accept()
                with context.wrap_socket(raw, server_side=True) as wrapped:
                    wrapped.sendall(b"hello")
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(60)


def greet(port: int, pin: bytes) -> tuple[bytes, PinnedContext]:
    context = PinnedContext(pin)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 60)) as line:
        return line.recv(5), context


@pytest.mark.parametrize("size", [16, 32])
def test_the_right_key_is_taken_by_its_hash_or_half_of_it(tmp_path: Path, size: int) -> None:
    files = create_tls(tmp_path, "127.0.0.1", NOW)
    pin = read_spki_sha256(files.certificate)
    with listening(files) as port:
        said, context = greet(port, pin[:size])
    assert said == b"hello"
    assert context.peer == pin


@pytest.mark.parametrize("wrong", ["other", "short", "empty", "one bit"])
def test_any_other_pin_is_refused(tmp_path: Path, wrong: str) -> None:
    files = create_tls(tmp_path, "127.0.0.1", NOW)
    pin = read_spki_sha256(files.certificate)
    pins = {"other": bytes(32), "short": pin[:15], "empty": b"", "one bit": pin[:-1] + bytes((pin[-1] ^ 1,))}
    with listening(files) as port, pytest.raises(PinError, match=pins[wrong].hex()[:32] or "names ;"):
        greet(port, pins[wrong])


@pytest.mark.parametrize("year", [1999, 2090])
def test_dates_in_the_certificate_do_not_matter(tmp_path: Path, year: int) -> None:
    files = create_tls(tmp_path, "127.0.0.1", NOW.replace(year=year))
    with listening(files) as port:
        assert greet(port, read_spki_sha256(files.certificate))[0] == b"hello"


def test_an_older_tls_is_not_spoken(tmp_path: Path) -> None:
    files = create_tls(tmp_path, "127.0.0.1", NOW)
    with listening(files, ssl.TLSVersion.TLSv1_2) as port, pytest.raises(ssl.SSLError):
        greet(port, read_spki_sha256(files.certificate))
