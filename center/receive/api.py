# SPDX-License-Identifier: Apache-2.0
"""The receiver as an ASGI 3 application: from a request to its endpoint, and every failure to one clear answer.

The order is the argument: path and length (nothing is read that is over its bound), then the token (nothing of a
stranger's is kept), then the body against the token, then the newest checkpoint that the agent has seen (before
anything signs), then the endpoint, in a thread. Every answer brings a nonce for a next request; every failure is JSON
with code, message and hint, and never a trace. Packs stream through a bounded pipe, few at a time.
Source: ASGI 3; design section 6; `evidence.wire.paths` lists the paths.
"""

import asyncio
import errno
import logging
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from center.errors import (
    BusyError,
    CenterError,
    FullError,
    NotFoundError,
    RefusedError,
    TooLargeError,
    UnauthorizedError,
)
from center.receive.auth import Admitted, Doorkeeper, Nonces
from center.receive.body import (
    IDLE_TIMEOUT_S,
    STRANGER_TIMEOUT_S,
    TOTAL_TIMEOUT_S,
    BodyReader,
    CutError,
    Message,
    Pipe,
    Receive,
)
from center.receive.counters import Counters
from center.receive.endpoints import Admission, Call, Endpoints, Log, Reply, SignsOfLife, parse_query
from center.receive.tls import Announcements
from center.registry.seal import SealingKey
from center.registry.signs import Signs
from center.registry.units import Units
from evidence.encode import parse_decimal
from evidence.errors import EvidenceError
from evidence.objects.pack import MAX_PACK_BYTES
from evidence.wire.announcement import encode_announcements
from evidence.wire.body import MAX_JSON_BYTES
from evidence.wire.heartbeat import MAX_HEARTBEAT_BYTES
from evidence.wire.introduction import CenterInfo
from evidence.wire.messages import Refusal
from evidence.wire.paths import HEADER_CHECKPOINT, HEADER_NONCE, HEADER_TLS, MAX_NOTE_BYTES
from evidence.wire.token import check_path

Scope: TypeAlias = Message
Send: TypeAlias = Callable[[Message], Awaitable[None]]

THREADS: Final = 32
PACKS_AT_ONCE: Final = 16
PACKS_PER_UNIT: Final = 4
REQUESTS_PER_UNIT: Final = 8
"""At once, besides packs: statements of a source wait for each other in threads, and others need threads too."""
MOST_WAITING: Final = 1024
_SOURCE = frozenset({"source"})
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take: seconds without a byte, seconds until it is here whole, bytes of a pack."""

    idle_s: float = IDLE_TIMEOUT_S
    total_s: float = TOTAL_TIMEOUT_S
    pack_bytes: int = MAX_PACK_BYTES


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes. `most`: the bound of its body; `is_public`: it needs no token.

    `is_for_newcomers`: its token is by a key that no unit has yet, and is verified by the endpoint. `is_question`: that there is
    none is an answer, which every new source gets once, and no refusal.
    """

    method: str
    pattern: re.Pattern[str]
    run: Callable[[Call], Reply]
    most: int = 0
    query: frozenset[str] = frozenset()
    is_public: bool = False
    is_pack: bool = False
    is_for_newcomers: bool = False
    is_question: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request, read."""

    method: str
    target: str
    path: str
    query: str
    length: int
    authorization: str | None
    checkpoint: str | None


class Api:
    """The ASGI application."""

    def __init__(
        self,
        endpoints: Endpoints,
        doorkeeper: Doorkeeper,
        nonces: Nonces,
        limits: Limits,
        counters: Counters,
        newest_tls: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`newest_tls` gives the hash of the TLS key announced last, which every answer names."""
        self._counters = counters
        self._newest_tls = newest_tls
        self._endpoints = endpoints
        self._doorkeeper = doorkeeper
        self._nonces = nonces
        self._limits = limits
        self._routes = _routes(endpoints, limits)
        self._threads = ThreadPoolExecutor(THREADS, "request")
        self._pack_threads = ThreadPoolExecutor(PACKS_AT_ONCE, "pack")
        self._packs: dict[str, asyncio.Semaphore] = {}
        self._requests: dict[str, asyncio.Semaphore] = {}
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            self._waiting += 1
            try:
                await self._respond(scope, receive, send)
            finally:
                self._waiting -= 1

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    def close(self) -> None:
        """Wait for what is being done, and end the threads."""
        self._threads.shutdown(wait=True)
        self._pack_threads.shutdown(wait=True)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = BodyReader(receive, 0)
        close = False
        drain_s = self._limits.total_s
        try:
            head = _read_head(scope)
            close = head.length > MAX_PACK_BYTES
            reader = BodyReader(receive, head.length, self._limits.idle_s, self._limits.total_s)
            reply = await self._serve(head, reader)
        except CenterError as err:
            close = close or isinstance(err, CutError)
            if isinstance(err, UnauthorizedError):
                drain_s = STRANGER_TIMEOUT_S  # a stranger may not hold a place for long
            reply = refuse(err)
            level = logging.ERROR if err.status >= 500 else logging.INFO
            log.log(level, "request refused", extra={"path": scope["path"], "code": err.code, "reason": str(err)})
        except Exception:
            # The top of a request: whatever it is, the daemon lives, the trace is in the log, and nobody else sees it.
            log.exception("request failed", extra={"path": scope["path"]})
            reply = refuse(CenterError("the center erred", hint="it is in the center's log; tell its operator"))
        self._counters.count(reply.status, reader.read_bytes)
        if not close:
            await reader.drain(drain_s)
        await self._send(reply, send, close)

    async def _serve(self, head: Head, reader: BodyReader) -> Reply:
        if self._waiting > MOST_WAITING:
            raise BusyError(f"{self._waiting} requests are waiting", hint="try again in a minute")
        route, path = self._find_route(head)
        query = parse_query(head.query, route.query)
        if head.length > route.most:
            raise TooLargeError(
                f"a body of {head.length} bytes is over the bound of {route.most} for {head.path}",
                hint="center and agent may be of different versions: update the older one",
            )
        if route.is_public:
            return await self._run(route, Call(None, path, query), None)
        admitted = self._doorkeeper.admit(head.authorization, head.method, head.target, head.length)
        if (admitted.unit is None) != route.is_for_newcomers:
            raise UnauthorizedError(
                f"a token of unit {admitted.token.unit} does not open {head.path}", hint="enrol the agent first"
            )
        if route.is_pack:
            return await self._run_pack(route, admitted, path, query, head, reader)
        body = await reader.read_all()
        admitted.check_body(body)
        unit = "" if admitted.unit is None else admitted.unit.unit
        async with self._requests.setdefault(unit, asyncio.Semaphore(REQUESTS_PER_UNIT)):
            return await self._run(route, Call(admitted, path, query, body), head.checkpoint)

    async def _run(self, route: Route, call: Call, checkpoint: str | None) -> Reply:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._act, route, call, checkpoint)

    async def _run_pack(
        self,
        route: Route,
        admitted: Admitted,
        path: tuple[str, ...],
        query: dict[str, str],
        head: Head,
        reader: BodyReader,
    ) -> Reply:
        unit = "" if admitted.unit is None else admitted.unit.unit
        async with self._packs.setdefault(unit, asyncio.Semaphore(PACKS_PER_UNIT)):
            pipe = Pipe()

            def act() -> Reply:
                try:
                    return self._act(route, Call(admitted, path, query, parts=pipe.parts()), head.checkpoint)
                finally:
                    pipe.close()

            running = asyncio.get_running_loop().run_in_executor(self._pack_threads, act)
            try:
                await reader.feed(pipe)
            except BaseException:
                # The request was given up; a thread that waits for the rest must not wait for ever.
                pipe.end(CutError("the request was given up", hint="send it again"))
                raise
            return await running

    def _act(self, route: Route, call: Call, checkpoint: str | None) -> Reply:
        try:
            if call.admitted is not None and call.admitted.unit is not None:
                self._endpoints.see(call.admitted.unit.unit)
                if checkpoint is not None:
                    self._endpoints.observe(call.admitted.unit.unit, checkpoint)
            return route.run(call)
        except NotFoundError as err:
            if not route.is_question:
                raise
            return refuse(err)
        except OSError as err:
            if err.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise FullError("the center's disk is full; nothing was kept", hint="make room at the center") from err

    def _find_route(self, head: Head) -> tuple[Route, tuple[str, ...]]:
        for route in self._routes:
            match = route.pattern.fullmatch(head.path)
            if match is not None and route.method == head.method:
                return route, match.groups()
        raise NotFoundError(
            f"there is no {head.method} {head.path} here",
            hint="see docs/format.md for what /v1 has, or update the agent",
        )

    async def _send(self, reply: Reply, send: Send, close: bool) -> None:
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            (b"cache-control", reply.cache.encode()),
            (HEADER_NONCE.lower().encode(), self._nonces.give().encode().encode()),
        ]
        newest = self._newest_tls()
        if newest is not None:
            headers.append((HEADER_TLS.lower().encode(), newest.encode()))
        if reply.status == 401:
            headers.append((b"www-authenticate", b"Jinsuo"))
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


def make_api(
    info: CenterInfo,
    admission: Admission,
    ledger: Log,
    units: Units,
    sealing_key: SealingKey,
    clock: Callable[[], datetime],
    limits: Limits | None = None,
    signs: SignsOfLife | None = None,
    counters: Counters | None = None,
    announcements: Announcements | None = None,
) -> Api:
    """Put the receiver of one center together.

    Without `signs` those of life are forgotten with the process; `announcements`: of its TLS keys, if it can have any.
    """
    nonces = Nonces(clock)
    doorkeeper = Doorkeeper(info.origin, units, nonces)
    announced = (lambda: encode_announcements([])) if announcements is None else announcements.body
    endpoints = Endpoints(
        info, admission, ledger, units, sealing_key, nonces, doorkeeper, signs or Signs(), clock, announced
    )
    newest = (lambda: None) if announcements is None else announcements.newest
    return Api(endpoints, doorkeeper, nonces, limits or Limits(), counters or Counters(), newest)


def refuse(err: CenterError) -> Reply:
    """Give the answer that says why a request failed."""
    return Reply(Refusal(err.code, str(err), err.hint).encode(), err.status)


def _routes(endpoints: Endpoints, limits: Limits) -> tuple[Route, ...]:
    def at(pattern: str) -> re.Pattern[str]:
        return re.compile(f"/v1/{pattern}", re.ASCII)

    name, hash_ = "([A-Za-z0-9._-]{1,64})", "([0-9a-f]{64})"
    return (
        Route("GET", at("center"), endpoints.get_center, is_public=True),
        Route("GET", at("nonce"), endpoints.get_nonce, is_public=True),
        Route("GET", at("tls"), endpoints.get_tls, is_public=True),
        Route("GET", at("log/checkpoint"), endpoints.get_checkpoint, is_public=True),
        Route("GET", at("log/tile/([a-z0-9./]{1,100})"), endpoints.get_tile, is_public=True),
        Route("POST", at("enroll"), endpoints.enroll, MAX_NOTE_BYTES, is_for_newcomers=True),
        Route("POST", at(f"sources/{name}"), endpoints.deposit, MAX_NOTE_BYTES),
        Route("POST", at(f"sources/{name}/recover"), endpoints.recover, MAX_NOTE_BYTES, is_question=True),
        Route("POST", at("missing"), endpoints.find_missing, MAX_JSON_BYTES),
        Route("PUT", at(f"packs/{hash_}"), endpoints.put_pack, limits.pack_bytes, _SOURCE, is_pack=True),
        Route("POST", at("statements"), endpoints.submit, MAX_NOTE_BYTES, _SOURCE | {"register"}),
        Route("GET", at("statements/latest"), endpoints.get_latest, 0, _SOURCE, is_question=True),
        Route("GET", at(f"receipts/{hash_}"), endpoints.get_receipt),
        Route("POST", at("cosignatures"), endpoints.cosign, MAX_NOTE_BYTES),
        Route("POST", at("heartbeats"), endpoints.hear, MAX_HEARTBEAT_BYTES),
    )


def _read_head(scope: Scope) -> Head:
    """Read a request's head. Raises: RefusedError."""
    headers = _headers(scope["headers"])
    try:
        path = bytes(scope.get("raw_path") or scope["path"].encode()).decode("ascii")
        query = bytes(scope.get("query_string", b"")).decode("ascii")
        target = f"{path}?{query}" if query else path
        check_path(target)
        if "transfer-encoding" in headers:
            raise RefusedError("a body must state its length", hint="send it with Content-Length, not in chunks")
        length = parse_decimal(headers.get("content-length", "0"), "Content-Length")
    except (UnicodeDecodeError, EvidenceError) as err:
        raise RefusedError(f"the request cannot be read: {err}", hint="see docs/format.md for what /v1 has") from err
    authorization, checkpoint = headers.get("authorization"), headers.get(HEADER_CHECKPOINT.lower())
    return Head(str(scope["method"]), target, path, query, length, authorization, checkpoint)


def _headers(raw: Any) -> dict[str, str]:  # Any: ASGI gives an iterable of pairs of bytes
    headers: dict[str, str] = {}
    for name, value in raw:
        key = bytes(name).decode("latin-1").lower()
        if key in headers and key in _ONCE:
            raise RefusedError(f"the header {key} stands twice", hint="see docs/format.md for what /v1 has")
        headers[key] = bytes(value).decode("latin-1")
    return headers


_ONCE: Final = frozenset({"authorization", "content-length", "transfer-encoding", HEADER_CHECKPOINT.lower()})
