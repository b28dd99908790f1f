# SPDX-License-Identifier: Apache-2.0
"""Who asks, and whether this very request was meant: nonces, and the token on every request.

A nonce is   expires u64be (µs since 1970) ‖ random[8] ‖ HMAC-SHA256(key, the sixteen bytes before)[0:16]
with a key that lives as long as the process. So nonces cost nothing to give (a stranger who asks for millions evicts
nobody's), those from before a restart are refused, and only used ones are remembered, until they expire; only holders
of a unit's key can use one up. The agent's clock does not matter: it repeats the center's own words.
Invariant: a token opens one request, once, within its nonce's minutes. Thread-safe. Source: design section 6.
"""

import hmac
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from center.errors import BusyError, ForbiddenError, NotFoundError, UnauthorizedError
from center.registry.units import Unit, Units
from evidence.digest import hmac_sha256, sha256
from evidence.errors import EvidenceError, FormatError
from evidence.keys.key import KeyType, VerificationKey
from evidence.note.signed import Note
from evidence.wire.introduction import EnrolRequest, cosigner_proof_text
from evidence.wire.token import NOBODY, Nonce, Token, parse_authorization, verify_token

NONCE_LIFETIME: Final = timedelta(minutes=3)
MOST_USED: Final = 1 << 18
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGAIN: Final = "send the request again with the nonce of this answer; if that fails too, call the archives"


class Nonces:
    """The nonces of one process."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        random: Callable[[int], bytes] = os.urandom,
        lifetime: timedelta = NONCE_LIFETIME,
        most_used: int = MOST_USED,
    ) -> None:
        self._clock = clock
        self._random = random
        self._key = random(32)
        self._lifetime = lifetime
        self._most_used = most_used
        self._latest = _EPOCH
        self._used: dict[datetime, set[bytes]] = {}
        self._count = 0
        self._lock = threading.Lock()

    def give(self) -> Nonce:
        """Give a new nonce."""
        expires = self._now() + self._lifetime
        head = ((expires - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, "big") + self._random(8)
        return Nonce(head + self._mac(head), expires)

    def check(self, nonce: Nonce) -> None:
        """Raises: UnauthorizedError unless this process gave the nonce, with this expiry, and it is not over."""
        head = nonce.value[:16]
        stated = int.from_bytes(head[:8], "big")
        if not hmac.compare_digest(nonce.value[16:], self._mac(head)):
            raise UnauthorizedError("the token's nonce is not of this center since its start", hint=_AGAIN)
        if _EPOCH + timedelta(microseconds=stated) != nonce.expires:
            raise UnauthorizedError(f"the token's nonce does not expire at {nonce.expires}", hint=_AGAIN)
        now = self._now()
        if now >= nonce.expires:
            raise UnauthorizedError(f"the token expired at {nonce.expires}, it is {now}", hint=_AGAIN)

    def use(self, nonce: Nonce) -> None:
        """Use a checked nonce up. Raises: UnauthorizedError the second time; BusyError: too many are in use."""
        second = nonce.expires.replace(microsecond=0)
        with self._lock:
            self._forget()
            used = self._used.setdefault(second, set())
            if nonce.value in used:
                raise UnauthorizedError("the token was used before; a token opens one request, once", hint=_AGAIN)
            if self._count >= self._most_used:
                raise BusyError(
                    f"{self._count} requests within {self._lifetime} are too many", hint="wait a few minutes"
                )
            used.add(nonce.value)
            self._count += 1

    def _forget(self) -> None:
        now = self._latest
        for second in [second for second in self._used if second + timedelta(seconds=1) <= now]:
            self._count -= len(self._used.pop(second))

    def _now(self) -> datetime:
        """Give the clock, never running back: a used nonce that was forgotten must not become good again."""
        with self._lock:
            self._latest = max(self._latest, self._clock())
            return self._latest

    def _mac(self, head: bytes) -> bytes:
        return hmac_sha256(self._key, head)[:16]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request whose head was checked: `unit` None, it comes from an agent being enrolled; `note` is its token's."""

    unit: Unit | None
    token: Token
    note: Note

    def check_body(self, body: bytes) -> None:
        """Raises: UnauthorizedError unless the token was made for `body`."""
        if sha256(body) != self.token.request.body:
            raise UnauthorizedError("the body is not the one that the token was made for", hint=_AGAIN)


class Doorkeeper:
    """Check the token of every request."""

    def __init__(self, origin: str, units: Units, nonces: Nonces) -> None:
        self._origin = origin
        self._units = units
        self._nonces = nonces

    def admit(self, authorization: str | None, method: str, path: str, length: int) -> Admitted:
        """Check the token of a request's head: that a unit's key made it, for this request, once.

        The body is not here yet: `Admitted.check_body` when it is; a pack's name is checked by its bytes.

        Raises: UnauthorizedError; ForbiddenError if the unit is disabled; BusyError.
        """
        token, note = self._read(authorization)
        request = token.request
        found = (self._origin, method, path, length)
        if (token.origin, request.method, request.path, request.length) != found:
            raise UnauthorizedError(
                f"the token is for {request.method} {request.path} with {request.length} bytes at {token.origin}, "
                f"the request is {method} {path} with {length} bytes at {self._origin}",
                hint=_AGAIN,
            )
        self._nonces.check(token.nonce)
        if token.unit == NOBODY:
            return Admitted(None, token, note)
        unit = self._verify(token, note)
        self._nonces.use(token.nonce)
        return Admitted(unit, token, note)

    def admit_newcomer(self, admitted: Admitted, request: EnrolRequest) -> None:
        """Check that who asks to be enrolled holds both private keys. Raises: UnauthorizedError, BusyError."""
        statement = VerificationKey(NOBODY, KeyType.ED25519, request.statement_key)
        cosigner = VerificationKey(NOBODY, KeyType.COSIGNATURE, request.cosigner_key)
        text = cosigner_proof_text(self._origin, request.statement_key, request.cosigner_key)
        try:
            verify_token(admitted.token, admitted.note, statement)
            cosigner.verify(request.proof, text)
        except EvidenceError as err:
            raise UnauthorizedError(
                f"the keys sent for enrolment are not those of who sends them: {err}", hint=_AGAIN
            ) from err
        self._nonces.use(admitted.token.nonce)

    def _read(self, authorization: str | None) -> tuple[Token, Note]:
        if authorization is None:
            raise UnauthorizedError("the request has no token", hint="this address is for enrolled agents")
        try:
            return parse_authorization(authorization)
        except EvidenceError as err:
            raise UnauthorizedError(f"the token cannot be read: {err}", hint=_AGAIN) from err

    def _verify(self, token: Token, note: Note) -> Unit:
        try:
            unit = self._units.get(token.unit)
            if unit.statement_key is None:
                raise FormatError("it is not enrolled yet")
            verify_token(token, note, unit.statement_key)
        except (EvidenceError, NotFoundError) as err:
            raise UnauthorizedError(
                f"the token is not by the key of unit {token.unit} of this center: {err}",
                hint="if the agent was enrolled anew elsewhere, stop this one; else ask the archives for a new code",
            ) from err
        if unit.disabled:
            raise ForbiddenError(f"unit {unit.unit} is disabled at the center", hint="call the archives")
        return unit
