# SPDX-License-Identifier: Apache-2.0
"""One request and its answer over HTTPS: tokens, nonces, bounds, and what a failure means to the agent.

Whatever carries the bytes (a socket, a proxy, a channel of SSH) is a `Way`; TLS to the center's key is inside all of them.
A nonce comes with every answer and is used for the next request; where none is at hand, the center is asked for one. An
answer 401 is tried once more with the nonce that it brings (the center was started anew, or ours grew old); a second
one is a refusal. What is read of an answer is bounded before it is kept. Thread-safe. Knows nothing of what the
requests mean. Source: design section 6; RFC 9110; decision 0063 (why httpcore).
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

import httpcore

from agent.errors import CenterDownError, CenterRefusedError, SpoolError
from agent.transport.base import PinKeeper, SeenCheckpoint, SendPace, unpaced
from agent.transport.pinned import PinnedContext
from agent.transport.refusals import explain_refusal
from agent.transport.way import DIRECT, Way
from evidence.encode import encode_base64
from evidence.errors import EvidenceError
from evidence.keys.signer import Signer
from evidence.note.signed import Note, parse_note
from evidence.wire.announcement import MAX_ANSWER_BYTES
from evidence.wire.body import MAX_JSON_BYTES
from evidence.wire.introduction import parse_nonce_answer
from evidence.wire.messages import Refusal, parse_refusal
from evidence.wire.paths import HEADER_CHECKPOINT, HEADER_NONCE, HEADER_TLS, PATH_NONCE, PATH_TLS
from evidence.wire.token import Nonce, Request, Token, encode_authorization, parse_nonce
from terminal.language import Text

_T = TypeVar("_T")
log = logging.getLogger(__name__)
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 120.0
STATEMENT_TIMEOUT_S: Final = 900.0
"""A center re-hashes what a statement claims before it answers."""

_NONCE_LIFE_S: Final = 120.0
_MOST_NONCES: Final = 64
_CHUNK: Final = 128 << 10
_BUSY: Final = frozenset({429, 500, 502, 503, 504, 507})
_BROKEN: Final = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
_KEPT_S: Final = 5.0
"""An idle connection is given up after so long; a center that was started anew meanwhile is then not asked in vain."""
_WAIT = Text(zh="数据不会丢失，稍后自动重试", en="nothing is lost; it is tried again later")


class Body(Protocol):
    """What a request carries."""

    @property
    def length(self) -> int:
        """Give the number of bytes."""

    def open(self) -> bytes | Iterator[bytes]:
        """Give the bytes, from the start."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A body in memory."""

    data: bytes = b""

    @property
    def length(self) -> int:
        """Give the number of bytes."""
        return len(self.data)

    def open(self) -> bytes:
        """Give the bytes."""
        return self.data


@dataclass(frozen=True, slots=True)
class File:
    """A body in a file, `length` bytes of it, sent at the pace of `pace`."""

    path: Path
    length: int
    pace: SendPace = unpaced

    def open(self) -> Iterator[bytes]:
        """Give the bytes in parts. Raises: OSError."""
        with self.path.open("rb", buffering=0) as file:
            while part := file.read(_CHUNK):
                self.pace(len(part))
                yield part


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


class Client:
    """Ask one center.

    Attributes: `context`, the TLS context, which knows the peer's key; `answered_at`, the center's own time (whole
    seconds) of the newest answer, or None: for a person who checks clocks, never for evidence.
    """

    def __init__(
        self, url: str, pin: bytes, origin: str, seen_checkpoint: SeenCheckpoint, way: Way = DIRECT,
        pins: PinKeeper | None = None,
    ) -> None:  # fmt: skip
        """`pins`: who remembers announced keys; None: there can be none yet."""
        self.context = PinnedContext(pin)
        self._pins = pins
        self._asked_tls: str | None = None
        if pins is not None:
            self.context.announced = pins.announced()
        self.answered_at: datetime | None = None
        self._origin = origin
        self._seen_checkpoint = seen_checkpoint
        self._nonces: deque[tuple[float, Nonce]] = deque(maxlen=_MOST_NONCES)
        self._seen: tuple[bytes, str] | None = None
        self._lock = threading.Lock()
        parts = urlsplit(url)
        self._base = httpcore.URL(scheme="https", host=parts.hostname or "", port=parts.port or 443)
        self._host = parts.netloc
        self._where = f"{parts.netloc}{way.through}"
        self._backend = way.open()
        self._pool = httpcore.ConnectionPool(
            ssl_context=self.context, keepalive_expiry=_KEPT_S, network_backend=self._backend
        )

    def close(self) -> None:
        """Let go of the line."""
        self._pool.close()
        self._backend.close()

    def get_public(self, path: str, most: int = MAX_JSON_BYTES) -> bytes:
        """Get what needs no token. Raises: CenterDownError, CenterRefusedError, PinError."""
        return self._checked(self._exchange("GET", path, Bytes(), {}, most, ANSWER_TIMEOUT_S)).body

    def call(
        self,
        request: Request,
        body: Body,
        unit: str,
        signer: Signer,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
        most: int = MAX_JSON_BYTES,
        origin: str | None = None,
    ) -> bytes:
        """Make a request with a token of `unit`, signed by `signer`, and give the answer's body.

        `origin`: of the log, where the client was made before that was known.
        Raises: CenterDownError, CenterRefusedError, PinError.
        """
        for is_last in (False, True):
            token = Token(origin or self._origin, unit, request, self._take_nonce(fresh=is_last))
            headers = {"Authorization": encode_authorization(token, signer), **self._checkpoint_header()}
            answer = self._exchange(request.method, request.path, body, headers, most, timeout_s)
            if answer.status != 401 or is_last:
                return self._checked(answer).body
        raise AssertionError("a loop of two rounds ends in its second")

    def _take_nonce(self, fresh: bool) -> Nonce:
        """Give a nonce; `fresh`: only the newest will do, the older ones were refused."""
        with self._lock:
            while self._nonces:
                received, nonce = self._nonces.pop()
                if fresh:
                    self._nonces.clear()
                if time.monotonic() - received < _NONCE_LIFE_S:
                    return nonce
        return self.parsed(parse_nonce_answer, self.get_public(PATH_NONCE)).nonce

    def _checkpoint_header(self) -> dict[str, str]:
        """Give the header that shows the newest checkpoint seen, with the log's own signature alone."""
        seen = self._seen_checkpoint()
        if seen is None:
            return {}
        if self._seen is None or self._seen[0] != seen:
            note = parse_note(seen)
            own = Note(note.text, tuple(line for line in note.signatures if line.name == self._origin))
            self._seen = (seen, encode_base64(own.encode()))
        return {HEADER_CHECKPOINT: self._seen[1]}

    def _exchange(
        self, method: str, path: str, body: Body, headers: dict[str, str], most: int, timeout_s: float
    ) -> Answer:
        fixed = {"Host": self._host, "Accept-Encoding": "identity", "Content-Length": str(body.length)}
        sent = [(name.encode(), value.encode()) for name, value in (fixed | headers).items()]
        url = httpcore.URL(scheme="https", host=self._base.host, port=self._base.port, target=path)
        limits = {"connect": CONNECT_TIMEOUT_S, "read": timeout_s, "write": timeout_s, "pool": timeout_s}
        try:
            with self._pool.stream(
                method, url, headers=sent, content=body.open(), extensions={"timeout": limits}
            ) as response:
                answer = Answer(response.status, _read(response.iter_stream(), most, self._where))
                found = {name.lower(): value.decode("ascii", "replace") for name, value in response.headers}
        except _BROKEN as err:
            raise CenterDownError(
                Text(
                    zh=f"中心 {self._where} 没有应答：{err or type(err).__name__}",
                    en=f"the center at {self._where} does not answer: {err or type(err).__name__}",
                ),
                hint=Text(zh=f"检查网络线路和中心地址；{_WAIT.zh}", en=f"check the line and the address; {_WAIT.en}"),
            ) from err
        except OSError as err:
            raise SpoolError(
                Text(zh=f"读不出要发送的内容：{err}", en=f"what was to be sent cannot be read: {err}"),
                hint=Text(zh="检查采集端目录所在的磁盘", en="check the disk of the agent's folder"),
            ) from err
        self._keep_nonce(found.get(HEADER_NONCE.lower().encode()))
        self._keep_pins(path, found.get(HEADER_TLS.lower().encode()))
        self.answered_at = _read_date(found.get(b"date"))
        return answer

    def _keep_nonce(self, text: str | None) -> None:
        if text is None:
            return
        try:
            nonce = parse_nonce(text)
        except EvidenceError:
            return  # a header in another form is of another version; the center is asked for a nonce instead
        with self._lock:
            self._nonces.append((time.monotonic(), nonce))

    def _keep_pins(self, path: str, newest: str | None) -> None:
        """Learn of a TLS key that is announced, and that the center uses one that was."""
        context, pins = self.context, self._pins
        if pins is None:
            return
        try:
            if context.peer is not None and context.peer in context.announced:
                pins.use(context.peer)
                context.pin = context.peer
                context.announced = pins.announced()
            known = {self._asked_tls, context.pin.hex(), *(spki.hex() for spki in context.announced)}
            if newest is not None and newest not in known and path != PATH_TLS:
                self._asked_tls = newest  # once: what does not hold now does not hold with the next request
                pins.learn(self.get_public(PATH_TLS, MAX_ANSWER_BYTES))
                context.announced = pins.announced()
        except (CenterDownError, CenterRefusedError, OSError) as err:
            # The key that was found holds: whatever is announced, or cannot be kept, must not stop what is being sent.
            log.warning("announced TLS key not taken", extra={"why": str(err)})

    def _checked(self, answer: Answer) -> Answer:
        """Raises: CenterDownError or CenterRefusedError unless the answer says that it was done."""
        if 200 <= answer.status < 300:
            return answer
        refusal = self._find_refusal(answer)
        meaning = explain_refusal(refusal.code)
        if answer.status in _BUSY:
            raise CenterDownError(
                Text(
                    zh=f"中心 {self._where} 现在不能办理：{meaning.sentence}（{refusal.code}：{refusal.message}）",
                    en=f"the center at {self._where} cannot do this now: {refusal.message} ({refusal.code})",
                ),
                hint=_WAIT,
                refusal=refusal.code,
            )
        raise CenterRefusedError(
            Text(
                zh=f"中心 {self._where} 拒绝：{meaning.sentence}（{refusal.code}：{refusal.message}）",
                en=f"the center at {self._where} refused: {refusal.message} ({refusal.code})",
            ),
            hint=Text(zh=meaning.advice, en=refusal.hint),
            refusal=refusal.code,
        )

    def _find_refusal(self, answer: Answer) -> Refusal:
        try:
            return parse_refusal(answer.body)
        except EvidenceError:
            return Refusal("JS-3000", f"status {answer.status}, without a reason", "look into the center's log")

    def parsed(self, parse: Callable[[bytes], _T], raw: bytes) -> _T:
        """Read an answer's body by `parse`. Raises: CenterRefusedError if it is not what this program can read."""
        try:
            return parse(raw)
        except EvidenceError as err:
            raise CenterRefusedError(
                Text(
                    zh=f"中心 {self._where} 的应答读不懂：{err}",
                    en=f"the answer of the center at {self._where} cannot be read: {err}",
                ),
                hint=Text(
                    zh="中心与采集端的版本可能不同：更新较旧的一个",
                    en="center and agent may be of different versions: update the older one",
                ),
            ) from err


def _read_date(text: str | None) -> datetime | None:
    try:
        when = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return when if when.tzinfo is not None else None


def _read(stream: Iterable[bytes], most: int, where: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in stream:
        size += len(part)
        if size > most:
            raise CenterRefusedError(
                Text(
                    zh=f"中心 {where} 的应答超过上限 {most} 字节",
                    en=f"the answer of the center at {where} is over the bound of {most} bytes",
                ),
                hint=Text(zh="请打电话给档案馆", en="call the archives"),
            )
        parts.append(part)
    return b"".join(parts)
