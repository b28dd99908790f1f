# SPDX-License-Identifier: Apache-2.0
"""Who this agent is: its keys, the unit that the center enrolled it as, and which center that is.

    keys/statement.pem   Ed25519, signs statements and tokens, named UNIT or UNIT/SOURCE
    keys/cosigner.pem    Ed25519, cosigns checkpoints, named UNIT
    keys/made.pem        a statement key that is to follow: nothing is signed by it alone yet
    keys/next.pem        the same once the journal has the statements that say so: signs what comes after them
    center.json          JCS, written once enrolment is done: url, pin, log, operator, sealing key, unit
    tls-keys.json        the center's announcements of TLS keys, as it gave them; what follows the pin is accepted too

The private keys never leave the folder. Enrolment may be repeated with the same code until its answer arrives: the keys
are made first and kept, and the center gives the same agent the same answer. Order: pin, then the log's key against the
code, then the secret; a stranger learns nothing. Source: design section 6.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.errors import CenterRefusedError, EnrolmentError, PinError
from agent.transport.base import SeenCheckpoint, SendPace, unpaced
from agent.transport.client import Bytes, Client
from agent.transport.https import HttpsTransport
from agent.transport.way import DIRECT, Way
from evidence.digest import Sha256
from evidence.disk import sync_folder, write_new, write_over
from evidence.encode import encode_base64, encode_json, expect_text, parse_base64, parse_hex, parse_json, parse_members
from evidence.errors import EvidenceError, FormatError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.keys.signer import Ed25519Signer, create_key_file, open_signer
from evidence.manifest.grammar import check_unit_name
from evidence.wire import introduction, paths
from evidence.wire.announcement import follow_announcements, parse_announcements
from evidence.wire.enrolment import EnrolmentCode, parse_code, pin_of_vkey
from evidence.wire.token import NOBODY, Request
from terminal.language import Text

FILE_NAME: Final = "center.json"
ANNOUNCED_NAME: Final = "tls-keys.json"
FORMAT: Final = "jinsuo/identity@v1"
_STATEMENT_KEY: Final = "keys/statement.pem"
_MADE_KEY: Final = "keys/made.pem"
_NEXT_KEY: Final = "keys/next.pem"
_COSIGNER_KEY: Final = "keys/cosigner.pem"
_NOT_ENROLLED = Text(
    zh="运行：jinsuo-agent enroll --center URL --code CODE", en="run: jinsuo-agent enroll --center URL --code CODE"
)


@dataclass(frozen=True, slots=True)
class CenterAddress:
    """Which center an agent belongs to, and as whom: what `center.json` holds."""

    url: str
    pin: Sha256
    log: VerificationKey
    operator: VerificationKey
    sealing_key: bytes
    unit: str
    name: str

    def __post_init__(self) -> None:
        check_unit_name(self.unit)

    def encode(self) -> bytes:
        """Write center.json."""
        return encode_json(
            {
                "format": FORMAT,
                "name": self.name,
                "operator": self.operator.vkey,
                "origin": self.log.name,
                "sealing": encode_base64(self.sealing_key),
                "spki_sha256": self.pin.hex(),
                "unit": self.unit,
                "url": self.url,
                "vkey": self.log.vkey,
            }
        )


def parse_address(raw: bytes) -> CenterAddress:
    """Read center.json. Raises: FormatError."""
    names = {"format", "name", "operator", "origin", "sealing", "spki_sha256", "unit", "url", "vkey"}
    members = parse_members(parse_json(raw, FILE_NAME), FILE_NAME, names)
    values = {name: expect_text(value, f"{name} in {FILE_NAME}") for name, value in members.items()}
    address = CenterAddress(
        values["url"],
        Sha256(parse_hex(values["spki_sha256"], "spki_sha256", 32)),
        parse_vkey(values["vkey"]),
        parse_vkey(values["operator"]),
        parse_base64(values["sealing"], "sealing", 32),
        values["unit"],
        values["name"],
    )
    if values["format"] != FORMAT or values["origin"] != address.log.name:
        raise FormatError(
            f"{FILE_NAME} has the format {values['format']!r:.60} and the origin {values['origin']!r:.80}"
        )
    return address


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled agent. `statement` is named UNIT (rename it to UNIT/SOURCE to sign statements), `cosigner` UNIT.

    `before`: the statement key that gives way to `statement` while the center may not know that yet; requests are tried by
    it first.
    """

    folder: Path
    address: CenterAddress
    statement: Ed25519Signer
    cosigner: Ed25519Signer
    before: Ed25519Signer | None = None

    @property
    def unit(self) -> str:
        """Give the unit's name."""
        return self.address.unit

    @classmethod
    def open(cls, folder: Path) -> "Identity":
        """Open the identity in an agent's folder. Raises: EnrolmentError if it has none, or it is damaged."""
        path = folder / FILE_NAME
        try:
            address = parse_address(path.read_bytes())
            statement = open_signer(f"file:{folder / _STATEMENT_KEY}", address.unit, KeyType.ED25519)
            cosigner = open_signer(f"file:{folder / _COSIGNER_KEY}", address.unit, KeyType.COSIGNATURE)
            following = find_key(folder, address.unit, _NEXT_KEY)
        except FileNotFoundError as err:
            raise EnrolmentError(
                Text(zh=f"{folder} 中的采集端尚未在中心登记", en=f"the agent in {folder} is not enrolled at a center"),
                hint=_NOT_ENROLLED,
            ) from err
        except EvidenceError as err:
            raise EnrolmentError(
                Text(zh=f"{folder} 中的身份文件已损坏：{err}", en=f"the identity in {folder} is damaged: {err}"),
                hint=Text(
                    zh="向档案馆要新的登记码，用新目录重新登记",
                    en="ask the archives for a new code, and enrol in a new folder",
                ),
            ) from err
        if following is not None:
            return cls(folder, address, following, cosigner, statement)
        return cls(folder, address, statement, cosigner)

    @property
    def pins(self) -> "PinFile":
        """Give who remembers the center's announced TLS keys."""
        return PinFile(self.folder, self.address)

    def connect(self, seen_checkpoint: SeenCheckpoint, pace: SendPace = unpaced, way: Way = DIRECT) -> HttpsTransport:
        """Give the road to the center; the line is opened with the first request.

        `pace`: of packs on their way; `way`: what the bytes go through.
        """
        address = self.address
        return HttpsTransport(
            address.url, address.pin, address.log.name, address.sealing_key, self.unit, self.before or self.statement,
            seen_checkpoint, pace, way, self.pins, self.statement if self.before else None,
        )  # fmt: skip


class PinFile:
    """The TLS keys that may follow an agent's pin, in its folder. Several processes: the last one that learned counts.

    A file that is damaged, or leads on from another pin, announces nothing: it is only ever a way forward.
    """

    def __init__(self, folder: Path, address: CenterAddress) -> None:
        self._folder = folder
        self._address = address
        self._path = folder / ANNOUNCED_NAME

    def announced(self) -> tuple[Sha256, ...]:
        """Give the keys that may follow the pinned one."""
        try:
            return self._follow(self._path.read_bytes())
        except (OSError, EvidenceError):
            return ()

    def learn(self, raw: bytes) -> None:
        """Keep announcements that lead on from the pin. Raises: CenterRefusedError if they do not hold."""
        try:
            followed = self._follow(raw)
        except EvidenceError as err:
            raise CenterRefusedError(
                Text(zh=f"TLS 密钥的公告核验不通过：{err}", en=f"the announcement of a TLS key does not hold: {err}"),
                hint=Text(zh="请打电话给档案馆：这种情况不应出现", en="call the archives: this must not happen"),
            ) from err
        if followed:
            write_over(self._path, raw)

    def use(self, spki: Sha256) -> None:
        """Make an announced key the pinned one."""
        self._address = replace(self._address, pin=spki)
        write_over(self._folder / FILE_NAME, self._address.encode())

    def _follow(self, raw: bytes) -> tuple[Sha256, ...]:
        followed = follow_announcements(parse_announcements(raw), self._address.log, self._address.pin)
        return tuple(announcement.spki for announcement in followed)


def find_key(folder: Path, unit: str, name: str) -> Ed25519Signer | None:
    """Find a statement key of an agent's folder; None if it is not there. Raises: EvidenceError if it is damaged."""
    path = folder / name
    return open_signer(f"file:{path}", unit, KeyType.ED25519) if path.exists() else None


def make_key(folder: Path, unit: str) -> Ed25519Signer:
    """Make the key that is to follow, or give the one that was made and never came into use."""
    if not (folder / _MADE_KEY).exists():
        create_key_file(folder / _MADE_KEY)
    made = find_key(folder, unit, _MADE_KEY)
    assert made is not None
    return made


def settle_key(folder: Path, unit: str, is_stated: Callable[[VerificationKey], bool]) -> None:
    """Have a key that was made sign from now on if the journal states it: after a crash between the two, too."""
    made = find_key(folder, unit, _MADE_KEY)
    if made is not None and is_stated(made.key):
        (folder / _MADE_KEY).replace(folder / _NEXT_KEY)
        sync_folder(folder / "keys")


def finish_key(folder: Path) -> None:
    """Let the old key go: the center has the new one. Again is harmless."""
    if (folder / _NEXT_KEY).exists():
        (folder / _NEXT_KEY).replace(folder / _STATEMENT_KEY)
        sync_folder(folder / "keys")


def is_enrolled(folder: Path) -> bool:
    """Tell whether the agent in `folder` has been enrolled."""
    return (folder / FILE_NAME).exists()


def enroll(folder: Path, url: str, code_text: str, way: Way = DIRECT) -> tuple[Identity, tuple[str, ...]]:
    """Enrol the agent in `folder`; give its identity, and the sources that its unit has had at the center before.

    `way`: what the bytes go through.

    Raises:
        EnrolmentError: the code is mistyped, the address is none, or the agent is enrolled already.
        PinError: the other end is not the center of the code; the secret was not sent.
        CenterRefusedError: the code is used, late or unknown there.
        CenterDownError: nobody answers; the same code may be tried again.
    """
    check_not_enrolled(folder)
    code = read_code(code_text)
    url = _check_url(url)
    statement, cosigner = open_keys(folder)
    client = Client(url, code.spki_pin, "", lambda: None, way)
    try:
        info = client.parsed(introduction.parse_center_info, client.get_public(paths.PATH_CENTER))
        _check_log(info, code)
        answer = _introduce(client, info, code, statement, cosigner)
        pin = client.context.peer
    finally:
        client.close()
    assert pin is not None
    address = CenterAddress(url, pin, info.log_key, info.operator_key, info.sealing_key, answer.unit, answer.name)
    write_new(folder / FILE_NAME, address.encode())
    return Identity.open(folder), answer.sources


def check_not_enrolled(folder: Path) -> None:
    """Raises: EnrolmentError if the agent in `folder` is enrolled."""
    if is_enrolled(folder):
        raise EnrolmentError(
            Text(
                zh=f"{folder} 中的采集端已登记为 {Identity.open(folder).unit}",
                en=f"the agent in {folder} is enrolled already, as unit {Identity.open(folder).unit}",
            ),
            hint=Text(
                zh="另一个单位或中心请用 `jinsuo-agent init` 另建目录",
                en="for another unit or center make another folder with `jinsuo-agent init`",
            ),
        )


def _introduce(
    client: Client,
    info: introduction.CenterInfo,
    code: EnrolmentCode,
    statement: Ed25519Signer,
    cosigner: Ed25519Signer,
) -> introduction.EnrolAnswer:
    keys = (statement.key.public, cosigner.key.public)
    proof = cosigner.sign(introduction.cosigner_proof_text(info.origin, *keys))
    body = introduction.EnrolRequest(code.secret, *keys, proof).encode()
    request = Request.of("POST", paths.PATH_ENROLL, body)
    raw = client.call(request, Bytes(body), NOBODY, statement, origin=info.origin)
    return client.parsed(introduction.parse_enrol_answer, raw)


def _check_log(info: introduction.CenterInfo, code: EnrolmentCode) -> None:
    found = pin_of_vkey(info.log_key.vkey)
    if found != code.vkey_pin:
        raise PinError(
            Text(
                zh=f"中心的日志 {info.origin} 所用密钥的指纹是 {found.hex()}，而登记码指明的是 {code.vkey_pin.hex()}；登记码的秘密没有发送",
                en=f"the center keeps the log {info.origin} under a key with the mark {found.hex()}, but the enrolment code "
                f"names {code.vkey_pin.hex()}; the code's secret was not sent",
            ),
            hint=Text(zh="不要继续，请打电话给档案馆", en="do not go on, call the archives"),
        )
    if "v1" not in info.versions:
        raise CenterRefusedError(
            Text(
                zh=f"中心使用协议版本 {', '.join(info.versions)}，本采集端使用 v1",
                en=f"the center speaks versions {', '.join(info.versions)} of the protocol, this agent v1",
            ),
            hint=Text(zh="更新采集端", en="update the agent"),
        )


def open_keys(folder: Path) -> tuple[Ed25519Signer, Ed25519Signer]:
    """Give the statement key and the cosigner of the agent in `folder`, made if need be. Raises: EnrolmentError."""
    signers: list[Ed25519Signer] = []
    for name, kind in ((_STATEMENT_KEY, KeyType.ED25519), (_COSIGNER_KEY, KeyType.COSIGNATURE)):
        path = folder / name
        try:
            if not path.exists():
                create_key_file(path)
            signers.append(open_signer(f"file:{path}", NOBODY, kind))
        except EvidenceError as err:
            raise EnrolmentError(
                Text(zh=f"密钥 {path} 不能用：{err}", en=f"the key {path} cannot be used: {err}"),
                hint=Text(zh="把 `keys` 目录移开，重新登记", en="move the folder `keys` away and enrol again"),
            ) from err
    return signers[0], signers[1]


def read_code(text: str) -> EnrolmentCode:
    """Read an enrolment code as typed. Raises: EnrolmentError."""
    try:
        return parse_code(text)
    except EvidenceError as err:
        raise EnrolmentError(
            Text(zh=f"登记码不能用：{err}", en=f"the enrolment code cannot be used: {err}"),
            hint=Text(
                zh="重新输入，或使用随信附上的文件", en="type it again, or use the file that came with the letter"
            ),
        ) from err


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_usable = False
        parts = urlsplit("")
    if not is_usable or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise EnrolmentError(
            Text(zh=f"{url!r:.120} 不是中心的地址", en=f"the address {url!r:.120} is not one of a center"),
            hint=Text(zh="形如 https://archives.example:8443", en="it looks like https://archives.example:8443"),
        )
    return f"https://{parts.netloc}"
