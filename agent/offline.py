# SPDX-License-Identifier: Apache-2.0
"""Enrolment without a line: a request in a file, the center's answer in another.

    keys/recovery.key   X25519, 32 bytes, from the request until its answer: secrets of older sources come sealed to it

The request may be made again and again: the keys are made once. Order at the answer: it is verified, the secrets of
sources are kept (by the caller), then `center.json` makes the agent an enrolled one, then the recovery key goes. The code is
shown to nobody: each file proves that its maker knows it. Source: `evidence.wire.offline`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.errors import EnrolmentError, PinError
from agent.identity import FILE_NAME, CenterAddress, Identity, check_not_enrolled, open_keys, read_code
from evidence.digest import Sha256, sha256
from evidence.disk import write_new
from evidence.errors import EvidenceError
from evidence.wire.enrolment import EnrolmentCode, pin_of_vkey
from evidence.wire.offline import EnrolFile, EnrolledFile, KnownSource, make_request, parse_answer
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, open_secrets
from terminal.language import Text

_RECOVERY_KEY: Final = "keys/recovery.key"


@dataclass(frozen=True, slots=True)
class Known:
    """A source that the unit had at the center: its secrets, and note and receipt of its newest statement."""

    source: str
    secrets: SourceSecrets
    latest: tuple[bytes, bytes] | None


def request_enrolment(folder: Path, code_text: str) -> bytes:
    """Give the request of the agent in `folder`; its keys are made if need be. Raises: EnrolmentError."""
    check_not_enrolled(folder)
    code = read_code(code_text)
    path = folder / _RECOVERY_KEY
    write_new(path, X25519PrivateKey.generate().private_bytes_raw(), mode=0o600)
    return _request(folder, code)[0].encode()


def accept_enrolment(
    folder: Path, code_text: str, raw: bytes, keep: Callable[[list[Known]], None]
) -> tuple[Identity, list[Known]]:
    """Take the answer to the request; `keep` keeps the secrets of sources durably, before the agent counts as enrolled.

    Raises: EnrolmentError: no request was made here, or the answer is to another; PinError: it names another center.
    """
    check_not_enrolled(folder)
    code = read_code(code_text)
    request, recovery = _request(folder, code)
    try:
        answer = parse_answer(raw, request.text, _key_of(code))
        known = [_open(answer, source, recovery) for source in answer.sources]
    except EvidenceError as err:
        raise EnrolmentError(
            Text(zh=f"答复文件不能用：{err}", en=f"the answer cannot be used: {err}"),
            hint=Text(
                zh="用同一登记码的答复；若重新申请过，请档案馆对最近的申请作答",
                en="use the answer to this agent's newest request, with the code that the request was made with",
            ),
        ) from err
    _check_pins(answer, code)
    keep(known)
    address = CenterAddress(
        answer.url,
        answer.spki_sha256,
        answer.log_key,
        answer.operator_key,
        answer.sealing_key,
        answer.unit,
        answer.name,
    )
    write_new(folder / FILE_NAME, address.encode())
    (folder / _RECOVERY_KEY).unlink(missing_ok=True)
    return Identity.open(folder), known


def _request(folder: Path, code: EnrolmentCode) -> tuple[EnrolFile, X25519PrivateKey]:
    try:
        recovery = X25519PrivateKey.from_private_bytes((folder / _RECOVERY_KEY).read_bytes())
    except (OSError, ValueError) as err:
        raise EnrolmentError(
            Text(zh=f"{folder} 中没有发出过登记申请", en=f"no request for enrolment was made in {folder}"),
            hint=Text(
                zh="先运行 jinsuo-agent enroll --request 文件", en="first run: jinsuo-agent enroll --request FILE"
            ),
        ) from err
    statement, cosigner = open_keys(folder)
    public = recovery.public_key().public_bytes_raw()
    return make_request(_key_of(code), code.vkey_pin, statement, cosigner, public), recovery


def _key_of(code: EnrolmentCode) -> Sha256:
    return sha256(code.secret)


def _open(answer: EnrolledFile, source: KnownSource, recovery: X25519PrivateKey) -> Known:
    place = SealedFor(Direction.RECOVER, answer.log_key.name, answer.unit, source.source)
    latest = None if source.latest is None else (source.latest[0], source.latest[1].encode())
    return Known(source.source, open_secrets(source.sealed, place, recovery), latest)


def _check_pins(answer: EnrolledFile, code: EnrolmentCode) -> None:
    """Raises: PinError unless the answer's keys are those that the code names."""
    if pin_of_vkey(answer.log_key.vkey) != code.vkey_pin or answer.spki_sha256[: len(code.spki_pin)] != code.spki_pin:
        raise PinError(
            Text(
                zh="答复中的中心不是登记码指明的中心", en="the center in the answer is not the one that the code names"
            ),
            hint=Text(zh="停下，致电档案馆核对", en="stop, and call the archives"),
        )
