# SPDX-License-Identifier: Apache-2.0
"""What each request of `/v1` does: one method each, from a checked call to an answer. Runs in threads.

Knows nothing of HTTP but paths and statuses, and nothing of tokens: whoever calls has checked who asks, and that the
body is the one that was meant. What is admitted is `admit.py`'s and the ledger's to say. Entry bundles of the log mix
units, so agents get none: their own entries come in their receipts, and auditors read the published folder.
Source: design section 6, `evidence.wire.messages`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from center.errors import ForbiddenError, NotFoundError, RefusedError
from center.receive.admit import PackAnswer, StatementAnswer
from center.receive.auth import Admitted, Doorkeeper, Nonces
from center.registry.seal import SealingKey
from center.registry.units import Unit, Units
from evidence.digest import ObjectId, Sha256
from evidence.encode import parse_base64, parse_hex
from evidence.errors import EvidenceError, SignatureError
from evidence.keys.key import VerificationKey
from evidence.manifest.grammar import check_source_name
from evidence.manifest.receipt import Receipt
from evidence.note.signed import SignatureLine
from evidence.wire import introduction, messages, paths
from evidence.wire.body import MAX_IDS
from evidence.wire.heartbeat import HeardAnswer, Heartbeat, parse_heartbeat
from evidence.wire.secrets import Direction, SealedFor, seal_secrets

_T = TypeVar("_T")
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
OCTETS: Final = "application/octet-stream"
_QUERY = re.compile(r"([a-z]+)=([A-Za-z0-9._-]+)", re.ASCII)
_OTHER_VERSION = "center and agent may be of different versions: update the older one"


class Admission(Protocol):
    """What takes in packs and statements (`center.receive.admit`)."""

    def missing(self, unit: str, source: str, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Give those of `ids` that are absent."""

    def put_pack(self, unit: str, source: str, name: str, parts: Iterable[bytes]) -> PackAnswer:
        """Store a pack; durable when it returns."""

    def submit(self, unit: str, source: str, raw: bytes, register_only: bool = False) -> StatementAnswer:
        """Admit a statement."""

    def latest(self, unit: str, source: str) -> tuple[bytes, Receipt] | None:
        """Give the newest statement of a source and its receipt."""

    def receipt(self, unit: str, digest: Sha256) -> Receipt:
        """Give the receipt of a unit's statement."""


class Log(Protocol):
    """What the receiver needs of the ledger (`center.ledger`)."""

    def observe(self, checkpoint_note: bytes) -> int | None:
        """Take notice of the newest checkpoint that somebody has seen; give its size if it is held."""

    def checkpoint(self) -> bytes:
        """Give the newest published checkpoint."""

    def tile(self, path: str) -> bytes:
        """Give a tile by its C2SP path."""

    def add_cosignature(self, line: SignatureLine, key: VerificationKey, size: int | None = None) -> bool:
        """Keep a cosignature; tell whether it is new."""


class SignsOfLife(Protocol):
    """Who is told that units call (`center.registry.signs`)."""

    def see(self, unit: str, now: datetime) -> None:
        """Take note that a unit has called; never raises for want of room."""

    def hear(self, unit: str, heartbeat: Heartbeat, now: datetime) -> None:
        """Keep a unit's newest heartbeat."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, checked. `path` are the variable parts of its path; `body` is empty for a pack, whose parts stream."""

    admitted: Admitted | None
    path: tuple[str, ...]
    query: dict[str, str]
    body: bytes = b""
    parts: Iterator[bytes] | None = None

    @property
    def unit(self) -> Unit:
        """Give the unit that asks; a request without one does not get to where it is needed."""
        assert self.admitted is not None
        assert self.admitted.unit is not None
        return self.admitted.unit

    @property
    def source(self) -> str:
        """Give the source that the query names. Raises: RefusedError."""
        return _check_source(self.query.get("source", ""))


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    cache: str = "no-store"


class Endpoints:
    """The requests of one center."""

    def __init__(
        self,
        info: introduction.CenterInfo,
        admission: Admission,
        log: Log,
        units: Units,
        sealing_key: SealingKey,
        nonces: Nonces,
        doorkeeper: Doorkeeper,
        signs: SignsOfLife,
        clock: Callable[[], datetime],
        announced: Callable[[], bytes],
    ) -> None:
        self._signs = signs
        self._clock = clock
        self._announced = announced
        self._info = info
        self._admission = admission
        self._log = log
        self._units = units
        self._sealing_key = sealing_key
        self._nonces = nonces
        self._doorkeeper = doorkeeper

    def see(self, unit: str) -> None:
        """Take note that a unit has called."""
        self._signs.see(unit, self._clock())

    def observe(self, unit: str, header: str) -> None:
        """Show the ledger the newest checkpoint that a unit's agent has seen, as it stands in the request's header.

        Raises: RefusedError if it is none of this log.
        """
        try:
            raw = parse_base64(header, "the newest checkpoint seen")
            if len(raw) > paths.MAX_CHECKPOINT_BYTES:
                raise RefusedError(
                    f"a checkpoint of {len(raw)} bytes is over the bound of {paths.MAX_CHECKPOINT_BYTES}",
                    hint=_OTHER_VERSION,
                )
            size = self._log.observe(raw)
        except EvidenceError as err:
            raise RefusedError(
                f"the checkpoint that the agent has seen is none of the log {self._info.origin}: {err}",
                hint="the agent's folder may be of another center: enrol it anew in a new folder",
            ) from err
        if size is not None:
            self._units.acknowledge(unit, size)

    def get_center(self, _call: Call) -> Reply:
        """Say who the center is."""
        return Reply(self._info.encode())

    def get_nonce(self, _call: Call) -> Reply:
        """Give a nonce."""
        return Reply(introduction.NonceAnswer(self._nonces.give()).encode())

    def get_tls(self, _call: Call) -> Reply:
        """Give the announcements of TLS keys."""
        return Reply(self._announced())

    def get_checkpoint(self, _call: Call) -> Reply:
        """Give the newest checkpoint."""
        return Reply(self._log.checkpoint(), content_type=TEXT)

    def get_tile(self, call: Call) -> Reply:
        """Give a hash tile. Raises: ForbiddenError for entry bundles."""
        path = f"tile/{call.path[0]}"
        if path.startswith("tile/entries/"):
            raise ForbiddenError(
                "bundles of entries hold those of all units and are not given to agents",
                hint="each unit's own entries are in its receipts; auditors read the published log",
            )
        try:
            tile = self._log.tile(path)
        except EvidenceError as err:
            raise NotFoundError(
                f"there is no {path:.80}: {err}", hint="ask for tiles as C2SP tlog-tiles names them"
            ) from err
        return Reply(tile, content_type=OCTETS, cache="max-age=31536000, immutable")

    def enroll(self, call: Call) -> Reply:
        """Enrol a newcomer, or an agent that has lost its keys."""
        request = _read(introduction.parse_enrol_request, call.body)
        assert call.admitted is not None
        self._doorkeeper.admit_newcomer(call.admitted, request)
        unit = self._units.enroll(request.secret, request.statement_key, request.cosigner_key)
        return Reply(introduction.EnrolAnswer(unit.unit, unit.name, unit.sources).encode(), 201)

    def deposit(self, call: Call) -> Reply:
        """Keep the secrets of a new source."""
        unit, source = call.unit.unit, _check_source(call.path[0])
        sealed = _read(messages.parse_deposit_request, call.body).sealed
        try:
            secrets = self._sealing_key.open(sealed, self._place(Direction.DEPOSIT, unit, source))
        except SignatureError as err:
            raise RefusedError(str(err), hint="enrol the agent anew: it may know an old sealing key") from err
        is_new = self._units.register_source(unit, source, secrets)
        return Reply(messages.DepositAnswer(is_new).encode(), 201 if is_new else 200)

    def recover(self, call: Call) -> Reply:
        """Give a source's secrets back, sealed to the key in the request."""
        unit, source = call.unit.unit, _check_source(call.path[0])
        public = _read(messages.parse_recover_request, call.body).public
        secrets = self._units.secrets(unit, source)
        place = self._place(Direction.RECOVER, unit, source)
        sealed = _read(lambda key: seal_secrets(secrets, place, key), public)
        return Reply(messages.RecoverAnswer(sealed).encode())

    def find_missing(self, call: Call) -> Reply:
        """Say which objects are absent."""
        request = _read(messages.parse_missing_request, call.body)
        absent = self._admission.missing(call.unit.unit, request.source, request.ids)
        return Reply(messages.MissingAnswer(tuple(absent)).encode())

    def put_pack(self, call: Call) -> Reply:
        """Take in a pack."""
        assert call.parts is not None
        assert call.admitted is not None
        name = call.path[0]
        if call.admitted.token.request.body.hex() != name:
            raise RefusedError(f"the token is for another pack than {name}", hint=_OTHER_VERSION)
        answer = self._admission.put_pack(call.unit.unit, call.source, name, call.parts)
        return Reply(messages.PackAnswer(answer.new, answer.objects).encode(), 201 if answer.new else 200)

    def submit(self, call: Call) -> Reply:
        """Take in a statement."""
        register_only = call.query.get("register") == "1"
        answer = self._admission.submit(call.unit.unit, call.source, call.body, register_only)
        missing = tuple(answer.missing[:MAX_IDS])
        body = messages.StatementAnswer(answer.level, answer.receipt, missing).encode()
        return Reply(body, 202 if answer.receipt is None else 200)

    def get_latest(self, call: Call) -> Reply:
        """Give the newest statement of a source."""
        found = self._admission.latest(call.unit.unit, call.source)
        statement, receipt = (None, None) if found is None else found
        return Reply(messages.LatestAnswer(statement, receipt).encode())

    def get_receipt(self, call: Call) -> Reply:
        """Give the receipt of a statement."""
        digest = Sha256(_read(lambda text: parse_hex(text, "a statement's digest", 32), call.path[0]))
        return Reply(self._admission.receipt(call.unit.unit, digest).encode())

    def cosign(self, call: Call) -> Reply:
        """Keep an agent's cosignature on a checkpoint."""
        request = _read(messages.parse_cosign_request, call.body)
        key = call.unit.cosigner_key
        assert key is not None
        is_new = _read(lambda line: self._log.add_cosignature(line, key, request.size), request.line)
        self._units.acknowledge(call.unit.unit, request.size)
        return Reply(messages.CosignAnswer(is_new).encode())

    def hear(self, call: Call) -> Reply:
        """Keep a unit's heartbeat, and say what time it is here."""
        heartbeat = _read(parse_heartbeat, call.body)
        now = self._clock()
        self._signs.hear(call.unit.unit, heartbeat, now)
        return Reply(HeardAnswer(now).encode())

    def _place(self, direction: Direction, unit: str, source: str) -> SealedFor:
        return SealedFor(direction, self._info.origin, unit, source)


def parse_query(text: str, allowed: frozenset[str]) -> dict[str, str]:
    """Read a query of `name=value` parts, each once. Raises: RefusedError."""
    if not text:
        return {}
    matches = [_QUERY.fullmatch(part) for part in text.split("&")]
    pairs = [(match[1], match[2]) for match in matches if match is not None]
    query = dict(pairs)
    if len(query) != len(matches) or not query.keys() <= allowed:
        raise RefusedError(f"the query {text!r:.120} is none of this path", hint=_OTHER_VERSION)
    return query


_A = TypeVar("_A")


def _read(parse: Callable[[_A], _T], value: _A) -> _T:
    """Read what was sent. Raises: RefusedError."""
    try:
        return parse(value)
    except EvidenceError as err:
        raise RefusedError(f"the request is refused: {err}", hint=_OTHER_VERSION) from err


def _check_source(source: str) -> str:
    try:
        check_source_name(source)
    except EvidenceError as err:
        raise RefusedError(f"the request names no source: {err}", hint=_OTHER_VERSION) from err
    return source
