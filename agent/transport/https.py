# SPDX-License-Identifier: Apache-2.0
"""The road over HTTPS: `/v1` of the center, whichever way its bytes take: directly, by a proxy, by SSH.

Puts the transport's calls into requests of `evidence.wire.messages` and back; how one request travels is `client.py`'s.
Invariant: secrets of sources leave only sealed, to the center's sealing key or from it to a key made for one request.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.errors import CenterRefusedError, SpoolError
from agent.transport.base import PinKeeper, SeenCheckpoint, SendPace, SubmitAnswer, unpaced
from agent.transport.client import ANSWER_TIMEOUT_S, STATEMENT_TIMEOUT_S, Body, Bytes, Client, File
from agent.transport.way import DIRECT, Way
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.keys.signer import Signer
from evidence.log.merkle import prove_consistency
from evidence.manifest.receipt import MAX_RECEIPT_BYTES
from evidence.note.signed import SignatureLine
from evidence.wire import messages, paths
from evidence.wire.body import MAX_JSON_BYTES
from evidence.wire.heartbeat import PATH_HEARTBEATS, Heartbeat, parse_heard_answer
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, open_secrets, seal_secrets
from evidence.wire.token import Request
from terminal.language import Text

IDS_PER_REQUEST: Final = 16_384
NOT_FOUND: Final = "JS-3106"
NO_TOKEN: Final = "JS-3104"  # noqa: S105 - the center's code
MAX_TILE_BYTES: Final = 256 * 32


class HttpsTransport:
    """A road to one center for one unit."""

    def __init__(
        self,
        url: str,
        pin: bytes,
        origin: str,
        sealing_key: bytes,
        unit: str,
        signer: Signer,
        seen_checkpoint: SeenCheckpoint,
        pace: SendPace = unpaced,
        way: Way = DIRECT,
        pins: PinKeeper | None = None,
        successor: Signer | None = None,
    ) -> None:
        """Keep who is at the two ends; the line is opened with the first request. `signer`: the statement key.

        `pins` remembers TLS keys that the center announces. `successor`: the key that follows `signer`, which the center
        may know instead of it.
        """
        self._successor = successor
        self._pace = pace
        self._client = Client(url, pin, origin, seen_checkpoint, way, pins)
        self._origin = origin
        self._sealing_key = sealing_key
        self._unit = unit
        self._signer = signer

    def __enter__(self) -> "HttpsTransport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the line."""
        self._client.close()

    @property
    def center_time(self) -> datetime | None:
        """Give the center's own time of its newest answer; None before the first."""
        return self._client.answered_at

    def missing(self, source: str, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Give those of `ids` that the center does not have; one request for each 16,384 of them."""
        asked = list(ids)
        absent: set[ObjectId] = set()
        for start in range(0, len(asked), IDS_PER_REQUEST):
            body = messages.MissingRequest(source, tuple(asked[start : start + IDS_PER_REQUEST])).encode()
            answer = self._post(paths.PATH_MISSING, body)
            absent.update(self._client.parsed(messages.parse_missing_answer, answer).ids)
        return absent

    def put_pack(self, source: str, name: str, path: Path) -> None:
        """Send the pack `name` from the file `path`. Raises also: SpoolError if the file cannot be read."""
        try:
            length = path.stat().st_size
        except OSError as err:
            raise SpoolError(
                Text(zh=f"数据包 {path} 读不了：{err.strerror}", en=f"the pack {path} cannot be read: {err.strerror}"),
                hint=Text(zh="检查采集端目录所在的磁盘", en="check the disk of the agent's folder"),
            ) from err
        request = Request("PUT", paths.path_of_pack(source, name), length, bytes.fromhex(name))
        answer = self._call(request, File(path, length, self._pace))
        self._client.parsed(messages.parse_pack_answer, answer)

    def submit(self, source: str, note: bytes, register_only: bool = False) -> SubmitAnswer:
        """Submit a statement. The center re-hashes what it claims first, so this may take minutes."""
        path = paths.path_of_statements(source, register_only)
        raw = self._post(path, note, STATEMENT_TIMEOUT_S)
        answer = self._client.parsed(messages.parse_statement_answer, raw)
        return SubmitAnswer(None if answer.receipt is None else answer.receipt.encode(), answer.missing)

    def latest(self, source: str) -> tuple[bytes, bytes] | None:
        """Give note and receipt of the newest statement of `source`; None if there is none, or no such source."""
        try:
            raw = self._get(paths.path_of_latest(source))
        except CenterRefusedError as err:
            if err.refusal == NOT_FOUND:
                return None
            raise
        answer = self._client.parsed(messages.parse_latest_answer, raw)
        if answer.statement is None or answer.receipt is None:
            return None
        return answer.statement, answer.receipt.encode()

    def receipt(self, digest: Sha256) -> bytes:
        """Give the receipt of the statement with this digest."""
        return self._get(paths.path_of_receipt(digest), MAX_RECEIPT_BYTES)

    def cosign(self, size: int, line: SignatureLine) -> None:
        """Hand over a cosignature on the checkpoint of `size`."""
        answer = self._post(paths.PATH_COSIGNATURES, messages.CosignRequest(size, line).encode())
        self._client.parsed(messages.parse_cosign_answer, answer)

    def checkpoint(self) -> bytes:
        """Give the note of the newest checkpoint."""
        return self._client.get_public(f"{paths.PATH_LOG}checkpoint", paths.MAX_CHECKPOINT_BYTES)

    def tile(self, path: str) -> bytes:
        """Give a hash tile."""
        return self._client.get_public(paths.PATH_LOG + path, MAX_TILE_BYTES)

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Give the proof that the log of `new_size` continues that of `old_size`; the caller verifies it."""
        try:
            return prove_consistency(lambda tile: self.tile(tile.path), old_size, new_size)
        except EvidenceError as err:
            raise CenterRefusedError(
                Text(
                    zh=f"中心的瓦片与 {new_size} 条的日志不符：{err}",
                    en=f"the center's tiles do not fit a log of {new_size} entries: {err}",
                ),
                hint=Text(zh="请打电话给档案馆", en="call the archives"),
            ) from err

    def deposit(self, source: str, secrets: SourceSecrets) -> None:
        """Deposit the secrets of a source, sealed to the center."""
        sealed = seal_secrets(secrets, self._place(Direction.DEPOSIT, source), self._sealing_key)
        answer = self._post(paths.path_of_source(source), messages.DepositRequest(sealed).encode())
        self._client.parsed(messages.parse_deposit_answer, answer)

    def recover(self, source: str) -> SourceSecrets | None:
        """Give back the secrets of `source`, which come sealed to a key that only this call knows."""
        private = X25519PrivateKey.generate()
        body = messages.RecoverRequest(private.public_key().public_bytes_raw()).encode()
        try:
            raw = self._post(paths.path_of_recovery(source), body)
        except CenterRefusedError as err:
            if err.refusal == NOT_FOUND:
                return None
            raise
        sealed = self._client.parsed(messages.parse_recover_answer, raw).sealed
        return self._client.parsed(
            lambda box: open_secrets(box, self._place(Direction.RECOVER, source), private), sealed
        )

    def heartbeat(self, heartbeat: Heartbeat) -> datetime:
        """Tell the center how this agent is; give the center's own time."""
        return self._client.parsed(parse_heard_answer, self._post(PATH_HEARTBEATS, heartbeat.encode())).at

    def _place(self, direction: Direction, source: str) -> SealedFor:
        return SealedFor(direction, self._origin, self._unit, source)

    def _get(self, path: str, most: int = MAX_JSON_BYTES) -> bytes:
        return self._call(Request.of("GET", path), Bytes(), most=most)

    def _post(self, path: str, body: bytes, timeout_s: float = ANSWER_TIMEOUT_S) -> bytes:
        return self._call(Request.of("POST", path, body), Bytes(body), timeout_s=timeout_s)

    def _call(
        self, request: Request, body: Body, *, timeout_s: float = ANSWER_TIMEOUT_S, most: int = MAX_JSON_BYTES
    ) -> bytes:
        """Make a request by the unit's key; if the center knows the one that follows instead, by that from then on."""
        signer, successor = self._signer, self._successor  # other threads may be at this, too
        try:
            return self._client.call(request, body, self._unit, signer, timeout_s=timeout_s, most=most)
        except CenterRefusedError as err:
            if err.refusal != NO_TOKEN or successor is None:
                raise
            answer = self._client.call(request, body, self._unit, successor, timeout_s=timeout_s, most=most)
            self._signer = successor
            return answer
