# SPDX-License-Identifier: Apache-2.0
"""Whoever sits on the line, or at the wrong end of it: each is refused with a clear answer, and the daemon lives on."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.errors import CenterRefusedError, EnrolmentError, PinError
from agent.identity import Identity, enroll
from center.receive.tls import TlsFiles, create_tls
from evidence.digest import pack_name
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.wire.enrolment import EnrolmentCode
from evidence.wire.introduction import parse_nonce_answer
from evidence.wire.messages import MissingRequest
from evidence.wire.secrets import SourceSecrets
from evidence.wire.token import NOBODY, Request, Token, encode_authorization
from tests.builders.receivers import NOW, ORIGIN, Running, run_receiver

SECRETS = SourceSecrets(bytes(range(32)), bytes(32))
MISSING = MissingRequest("his", ()).encode()
PATH = "/v1/missing"


@dataclass
class Answer:
    """A status and what the body says."""

    status: int
    said: dict[str, str]
    headers: dict[str, str]


@dataclass
class Line:
    """A receiver that runs, with two units, and raw access to its port."""

    center: Running
    identity: Identity
    other: Identity

    def connect(self) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.center.port), 60))

    def ask(self, method: str, path: str, body: bytes = b"", *headers: str, length: int | None = None) -> Answer:
        """Send a request as it stands, and read the answer."""
        head = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body) if length is None else length}"]
        with self.connect() as line:
            line.sendall("\r\n".join([*head, *headers, "", ""]).encode("latin-1") + body)
            return read_answer(line)

    def token(self, body: bytes = MISSING, path: str = PATH, method: str = "POST", unit: str = "X013") -> Token:
        with self.connect() as line:
            line.sendall(b"GET /v1/nonce HTTP/1.1\r\nHost: x\r\n\r\n")
            response = http.client.HTTPResponse(line)
            response.begin()
            nonce = parse_nonce_answer(response.read()).nonce
        return Token(ORIGIN, unit, Request.of(method, path, body), nonce)

    def header(self, token: Token, signer: Ed25519Signer | None = None) -> str:
        return "Authorization: " + encode_authorization(token, signer or self.identity.statement)

    def check_alive(self) -> None:
        """The daemon still serves an honest agent."""
        with self.identity.connect(lambda: None) as transport:
            assert transport.missing("his", []) == set()
            assert transport.latest("his") is None
        with self.other.connect(lambda: None) as transport:
            assert transport.recover("nothing") is None


def read_answer(line: ssl.SSLSocket) -> Answer:
    response = http.client.HTTPResponse(line)
    response.begin()
    raw = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    said = json.loads(raw) if raw and headers.get("content-type") == "application/json" else {}
    if response.status >= 400 and said:
        assert set(said) == {"code", "message", "hint"}
        assert "Traceback" not in raw.decode()
        assert all(said.values())
    return Answer(response.status, said, headers)


@contextmanager
def run_line(folder: Path, idle_timeout_s: float = 60.0) -> Iterator[Line]:
    with run_receiver(folder / "center", idle_timeout_s=idle_timeout_s) as center:
        identity = center.enroll(folder / "agent")
        other = center.enroll(folder / "other", "X014")
        center.units.register_source("X013", "his", SECRETS)
        yield Line(center, identity, other)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with run_line(tmp_path_factory.mktemp("line")) as running:
        yield running


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Give a receiver that waits for nobody: on a busy machine it may cut off an honest agent, too."""
    with run_line(tmp_path_factory.mktemp("hasty"), idle_timeout_s=0.3) as running:
        yield running


@pytest.fixture(autouse=True)
def alive(line: Line) -> Iterator[None]:
    line.center.clock.now = NOW
    yield
    line.center.clock.now = NOW
    line.check_alive()


# Tokens


def test_a_replayed_token_opens_nothing(line: Line) -> None:
    header = line.header(line.token())
    assert line.ask("POST", PATH, MISSING, header).status == 200
    answer = line.ask("POST", PATH, MISSING, header)
    assert (answer.status, answer.said["code"]) == (401, "JS-3104")
    assert "used before" in answer.said["message"]
    assert "jinsuo-nonce" in answer.headers


def test_an_altered_path_is_refused(line: Line) -> None:
    header = line.header(line.token(b"", "/v1/statements/latest?source=his", "GET"))
    answer = line.ask("GET", "/v1/statements/latest?source=lis", b"", header)
    assert answer.status == 401
    assert "source=his" in answer.said["message"]


def test_an_altered_body_is_refused(line: Line) -> None:
    answer = line.ask("POST", PATH, MISSING.replace(b"his", b"lis"), line.header(line.token()))
    assert answer.status == 401
    assert "body" in answer.said["message"]


def test_an_altered_length_is_refused(line: Line) -> None:
    answer = line.ask("POST", PATH, MISSING + b" ", line.header(line.token()))
    assert answer.status == 401
    assert f"{len(MISSING) + 1} bytes" in answer.said["message"]


def test_a_token_of_another_unit_gives_only_what_is_that_unit_s(line: Line) -> None:
    answer = line.ask("POST", PATH, MISSING, line.header(line.token(unit="X014"), line.other.statement))
    assert (answer.status, answer.said["code"]) == (404, "JS-3106")
    assert "X014 has no source 'his'" in answer.said["message"]


def test_a_unit_cannot_speak_for_another(line: Line) -> None:
    answer = line.ask("POST", PATH, MISSING, line.header(line.token(), line.other.statement))
    assert answer.status == 401
    assert "not by the key of unit X013" in answer.said["message"]


def test_a_token_s_text_altered_under_its_signature_is_refused(line: Line) -> None:
    import base64

    token = line.token(unit="X014")
    header = encode_authorization(token, line.other.statement).removeprefix("Jinsuo ")
    note = base64.b64decode(header).replace(b"unit X014", b"unit X013").replace("— X014".encode(), "— X013".encode())
    answer = line.ask("POST", PATH, MISSING, "Authorization: Jinsuo " + base64.b64encode(note).decode())
    assert answer.status == 401


def test_an_expired_token_is_refused_and_brings_a_nonce_that_works(line: Line) -> None:
    token = line.token()
    line.center.clock.now = NOW + timedelta(minutes=4)
    answer = line.ask("POST", PATH, MISSING, line.header(token))
    assert answer.status == 401
    assert "expired" in answer.said["message"]
    assert line.ask("POST", PATH, MISSING, line.header(line.token())).status == 200


def test_a_disabled_unit_is_refused(line: Line) -> None:
    line.center.units.disable("X013", reason="test")
    answer = line.ask("POST", PATH, MISSING, line.header(line.token()))
    line.center.units.enable("X013", reason="test")
    assert (answer.status, answer.said["code"]) == (403, "JS-3105")


def test_no_token_opens_nothing(line: Line) -> None:
    for method, path in (
        ("POST", PATH),
        ("PUT", f"/v1/packs/{'0' * 64}?source=his"),
        ("POST", "/v1/statements?source=his"),
        ("GET", "/v1/statements/latest?source=his"),
        ("GET", f"/v1/receipts/{'0' * 64}"),
        ("POST", "/v1/cosignatures"),
        ("POST", "/v1/enroll"),
        ("POST", "/v1/sources/his"),
        ("POST", "/v1/sources/his/recover"),
    ):
        assert line.ask(method, path).status == 401, path


def test_a_newcomer_s_token_opens_nothing_but_enrolment(line: Line) -> None:
    signer = Ed25519Signer.from_seed(NOBODY, KeyType.ED25519, bytes(32))
    answer = line.ask("POST", PATH, MISSING, line.header(line.token(unit=NOBODY), signer))
    assert answer.status == 401
    assert "enrol" in answer.said["hint"]


def test_two_tokens_are_not_one(line: Line) -> None:
    header = line.header(line.token())
    assert line.ask("POST", PATH, MISSING, header, header).status == 400


def test_a_token_for_one_pack_does_not_bring_another(line: Line) -> None:
    data = b"pack"
    name, other = pack_name([data]), pack_name([b"other"])
    path = f"/v1/packs/{other}?source=his"
    token = replace(line.token(), request=Request("PUT", path, len(data), bytes.fromhex(name)))
    answer = line.ask("PUT", path, data, line.header(token))
    assert answer.status == 400
    assert "another pack" in answer.said["message"]
    assert not line.center.admission.packs


def test_a_checkpoint_of_another_log_is_refused_and_confirms_nothing(line: Line) -> None:
    import base64

    from evidence.digest import Sha256
    from evidence.log.checkpoint import Checkpoint, sign_checkpoint

    other = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, b"\7" * 32)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 5000, Sha256(bytes(32))), other).encode()
    for value in (base64.b64encode(forged).decode(), "!", "QQ==", base64.b64encode(b"x" * 100_000).decode()):
        answer = line.ask("POST", PATH, MISSING, line.header(line.token()), f"Jinsuo-Checkpoint: {value}")
        assert answer.status == 400
    assert line.center.ledger.held is None


def test_a_stranger_s_checkpoint_is_not_looked_at(line: Line) -> None:
    import base64

    note = base64.b64encode(line.center.ledger.checkpoint()).decode()
    line.center.ledger.require_confirmation({"X013": 1})
    assert line.ask("GET", "/v1/center", b"", f"Jinsuo-Checkpoint: {note}").status == 200
    assert line.center.ledger.held is not None
    line.center.ledger.require_confirmation({})


# Enrolment


def test_a_mistyped_code_is_told_before_anything_is_sent(line: Line, tmp_path: Path) -> None:
    code = line.center.units.add("X020", "a").encode()
    typed = code[:-1] + ("A" if code[-1] != "A" else "B")
    with pytest.raises(EnrolmentError, match="typing error"):
        enroll(tmp_path, line.center.url, typed)
    assert not (tmp_path / "keys").exists()


def test_a_code_of_nobody_is_refused(line: Line, tmp_path: Path) -> None:
    code = line.center.units.add("X021", "a")
    with pytest.raises(CenterRefusedError, match="no unit of this center") as caught:
        enroll(tmp_path, line.center.url, replace(code, secret=bytes(16)).encode())
    assert "rekey" in caught.value.hint


def test_a_late_code_is_refused(line: Line, tmp_path: Path) -> None:
    code = line.center.units.add("X022", "a")
    line.center.clock.now = NOW + timedelta(days=15)
    with pytest.raises(CenterRefusedError, match="ended on 2026-12-06"):
        enroll(tmp_path, line.center.url, code.encode())
    assert line.center.units.get("X022").statement_key is None


def test_a_code_used_by_somebody_else_is_refused_and_sounds_the_alarm(line: Line, tmp_path: Path) -> None:
    code = line.center.units.add("X023", "a").encode()
    enroll(tmp_path / "first", line.center.url, code)
    with pytest.raises(CenterRefusedError, match="was used on") as caught:
        enroll(tmp_path / "second", line.center.url, code)
    assert "call the archives at once" in caught.value.hint


def test_a_unit_cannot_pass_another_s_cosigner_key_off_as_its_own(line: Line, tmp_path: Path) -> None:
    from evidence.wire.introduction import EnrolRequest, cosigner_proof_text

    code = line.center.units.add("X024", "a")
    statement = Ed25519Signer.from_seed(NOBODY, KeyType.ED25519, b"\11" * 32)
    victim = line.identity.cosigner.key.public
    proof = statement.sign(cosigner_proof_text(ORIGIN, statement.key.public, victim))
    body = EnrolRequest(code.secret, statement.key.public, victim, proof).encode()
    token = line.token(body, "/v1/enroll", unit=NOBODY)
    answer = line.ask("POST", "/v1/enroll", body, line.header(token, statement))
    assert answer.status == 401
    assert line.center.units.get("X024").statement_key is None


# The man in the middle


@contextmanager
def impostor(folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Listen with another TLS key; keep every byte that arrives inside TLS."""
    files: TlsFiles = create_tls(folder, "127.0.0.1", NOW)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    arrived: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    raw, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(raw, server_side=True) as wrapped:
                        arrived.append(wrapped.recv(65536))
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], arrived
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(60)


def test_another_tls_key_gets_no_byte_of_an_enrolled_agent(line: Line, tmp_path: Path) -> None:
    with impostor(tmp_path) as (port, arrived):
        address = replace(line.identity.address, url=f"https://127.0.0.1:{port}")
        with replace(line.identity, address=address).connect(lambda: None) as transport:
            with pytest.raises(PinError, match="nothing was sent to it") as caught:
                transport.latest("his")
            assert "call the archives" in caught.value.hint
            with pytest.raises(PinError):
                transport.submit("his", b"secret")
    assert b"".join(arrived) == b""


def test_another_tls_key_gets_no_secret_of_a_code(line: Line, tmp_path: Path) -> None:
    code = line.center.units.add("X025", "a")
    with impostor(tmp_path / "impostor") as (port, arrived), pytest.raises(PinError):
        enroll(tmp_path / "agent", f"https://127.0.0.1:{port}", code.encode())
    assert b"".join(arrived) == b""


def test_another_log_behind_the_right_key_gets_no_secret(line: Line, tmp_path: Path) -> None:
    code = line.center.units.add("X026", "a")
    wrong = EnrolmentCode(code.spki_pin, bytes(16), code.secret)
    with pytest.raises(PinError, match="the code's secret was not sent"):
        enroll(tmp_path, line.center.url, wrong.encode())
    assert line.center.units.get("X026").statement_key is None
    enroll(tmp_path, line.center.url, code.encode())


# Bodies and bytes


def test_an_oversized_body_is_refused_unread(hasty: Line) -> None:
    for method, path, length in (
        ("PUT", f"/v1/packs/{'0' * 64}?source=his", (16 << 20) + 1),
        ("POST", PATH, 1 << 40),
        ("POST", "/v1/enroll", (64 << 10) + 1),
        ("GET", "/v1/center", 1),
    ):
        answer = hasty.ask(method, path, b"x", length=length)
        assert (answer.status, answer.said["code"]) == (413, "JS-3107"), path
        assert str(length) in answer.said["message"]


def test_a_body_without_a_length_is_refused(line: Line) -> None:
    with line.connect() as raw:
        raw.sendall(b"POST /v1/missing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        assert read_answer(raw).status == 400


def test_a_pack_cut_on_the_way_leaves_nothing(line: Line) -> None:
    data = b"x" * 100_000
    name = pack_name([data])
    path = f"/v1/packs/{name}?source=his"
    for count in (0, 1, 50_000, 99_999):
        token = replace(line.token(), request=Request("PUT", path, len(data), bytes.fromhex(name)))
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n{line.header(token)}\r\n\r\n"
        with line.connect() as raw:
            raw.sendall(head.encode() + data[:count])
    line.check_alive()
    assert ("X013", "his", name) not in line.center.admission.packs


def test_a_sender_who_stops_is_cut_off(hasty: Line) -> None:
    name = pack_name([b"x"])
    path = f"/v1/packs/{name}?source=his"
    token = replace(hasty.token(), request=Request("PUT", path, 1000, bytes.fromhex(name)))
    for target, header in ((path, hasty.header(token)), (PATH, hasty.header(hasty.token()))):
        method = "PUT" if target == path else "POST"
        length = 1000 if target == path else len(MISSING)
        answer = hasty.ask(method, target, b"{", header, length=length)
        assert answer.status == 400
        assert "nothing came for 0.3 seconds" in answer.said["message"]


def test_many_senders_who_stop_hold_nobody_up(line: Line) -> None:
    name = pack_name([b"x"])
    path = f"/v1/packs/{name}?source=his"
    sockets = []
    for _ in range(40):
        token = replace(line.token(), request=Request("PUT", path, 1000, bytes.fromhex(name)))
        raw = line.connect()
        raw.sendall(
            f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n{line.header(token)}\r\n\r\n".encode() + b"x"
        )
        sockets.append(raw)
    line.check_alive()
    for raw in sockets:
        raw.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"\xff\xfe" * 500,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/center HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/center HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /v1/center HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"x" * 600_000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /v1/金锁 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    ],
)
def test_garbage_inside_tls_does_no_harm(line: Line, garbage: bytes) -> None:
    with line.connect() as raw:
        try:
            raw.sendall(garbage)
            answer = raw.recv(65536)
        except OSError:
            return  # the line was closed on us, which is an answer too
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 5"))
        assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "garbage", [b"", b"\x00" * 100, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 500]
)
def test_garbage_instead_of_tls_does_no_harm(line: Line, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", line.center.port), 60) as raw:
        raw.sendall(garbage)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/center",
        "/v1",
        "/v1/center/",
        "/v1//center",
        "/v1/../v1/center",
        "/v1/%63enter",
        "/v1/log/tile/../checkpoint",
        "/v1/log/tile/0/..%2f..%2fledger.sqlite",
        "/v1/log/ledger.sqlite",
        "/v1/center?x=1",
        "/v1/statements/latest?source=his&source=his",
        "/v1/statements/latest?source=../X014",
        "/v1/" + "a" * 600,
    ],
)
def test_another_path_leads_nowhere(line: Line, path: str) -> None:
    assert line.ask("GET", path).status in (400, 401, 404)


def test_bundles_of_entries_are_not_given_to_agents(line: Line) -> None:
    answer = line.ask("GET", "/v1/log/tile/entries/000.p/1")
    assert (answer.status, answer.said["code"]) == (403, "JS-3105")


def test_nonces_for_the_asking_use_nothing_up(line: Line) -> None:
    token = line.token()
    with line.connect() as raw:
        for _ in range(500):
            raw.sendall(b"GET /v1/nonce HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_answer(raw).status == 200
    assert line.ask("POST", PATH, MISSING, line.header(token)).status == 200


def test_bodies_that_are_none_of_ours_are_refused(line: Line) -> None:
    for body in (b"", b"{", b"[]", b'{"format":"jinsuo/missing@v1"}', b"\xff" * 100, b"[" * 100_000, MISSING + b" "):
        answer = line.ask("POST", PATH, body, line.header(line.token(body)))
        assert (answer.status, answer.said["code"]) == (400, "JS-3100"), body[:20]


def test_secrets_sealed_for_another_unit_cannot_be_deposited(line: Line) -> None:
    from evidence.wire.messages import DepositRequest
    from evidence.wire.secrets import Direction, SealedFor, seal_secrets

    place = SealedFor(Direction.DEPOSIT, ORIGIN, "X014", "emr")
    sealed = seal_secrets(SECRETS, place, line.identity.address.sealing_key)
    body = DepositRequest(sealed).encode()
    answer = line.ask("POST", "/v1/sources/emr", body, line.header(line.token(body, "/v1/sources/emr")))
    assert answer.status == 400
    assert "do not open" in answer.said["message"]
    assert "emr" not in line.center.units.get("X013").sources
