# SPDX-License-Identifier: Apache-2.0
"""The center's master key and sealing key: how secrets lie at rest, and how agents seal secrets to the center.

    master key    file, JCS {"format":"jinsuo/master-key@v1","kdf":"none"|"argon2id","key":base64,"salt":base64}
                  none: `key` is the key[32] itself, the file is for its owner's eyes only
                  argon2id: `key` is nonce[12] ‖ AES-256-GCM(key[32]) ‖ tag[16] under Argon2id(passphrase, salt[16])
    wrapped       nonce[12] ‖ AES-256-GCM(plain) ‖ tag[16], AAD `jinsuo/wrap@v1` LF purpose LF
    sealing key   file, JCS {"format":"jinsuo/sealing-key@v1","private":base64 of the wrapped key[32],"public":base64}

`purpose` says what is wrapped (as `source X013/his`), so that one wrapped secret cannot take another's place in the
folder. Key files are written once, never over. A lost master key or passphrase loses every deposited secret: it must
be in the backup (docs/operate.md). Reads and writes files; draws randomness. Source: NIST SP 800-38D; RFC 9106 section
4, second recommended option (t=3, p=4, 64 MiB); RFC 9180 by `evidence.wire.secrets`.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from center.errors import StoreError
from evidence.bag.seal import BagPlace, open_key
from evidence.disk import write_new
from evidence.encode import encode_base64, encode_json, expect_text, parse_base64, parse_json, parse_members
from evidence.errors import EvidenceError, FormatError
from evidence.wire.secrets import SealedFor, SourceSecrets, open_secrets
from terminal.language import Text

KEY_BYTES: Final = 32
_MASTER_FORMAT: Final = "jinsuo/master-key@v1"
_SEALING_FORMAT: Final = "jinsuo/sealing-key@v1"
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16
_MAX_FILE_BYTES: Final = 4096
_RESTORE = Text(zh="从备份恢复中心的 keys 目录", en="restore the center's keys folder from its backup")


class MasterKey:
    """Wrap secrets for storage. Thread-safe."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, purpose: str, plain: bytes) -> bytes:
        """Encrypt `plain`, bound to `purpose`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, _label(purpose))

    def unwrap(self, purpose: str, wrapped: bytes) -> bytes:
        """Decrypt what `wrap` made for the same purpose.

        Raises: StoreError if it was damaged, made for another purpose, or wrapped by another master key.
        """
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _label(purpose))
        except (InvalidTag, ValueError) as err:
            raise StoreError(
                Text(
                    zh=f"{purpose} 的加密秘密打不开：已损坏，或主密钥不是原来的",
                    en=f"the wrapped secret of {purpose} does not open: it is damaged, or the master key is another one",
                ),
                hint=_RESTORE,
            ) from err


class SealingKey:
    """The X25519 key to which agents seal what only the center may read. Thread-safe."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> bytes:
        """Give the public key, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def open(self, sealed: bytes, place: SealedFor) -> SourceSecrets:
        """Open secrets that an agent sealed for `place`. Raises: FormatError, SignatureError."""
        return open_secrets(sealed, place, self._private)

    def open_bag_key(self, sealed: bytes, place: BagPlace) -> bytes:
        """Open the data key of the bag `place`. Raises: FormatError, SignatureError."""
        return open_key(sealed, place, self._private)


def create_master_key(path: Path, passphrase: bytes | None = None) -> MasterKey:
    """Make a new master key in the file `path`, wrapped by `passphrase` if there is one.

    Raises: FileExistsError; a key is never overwritten.
    """
    key, salt = os.urandom(KEY_BYTES), os.urandom(_SALT_BYTES)
    stored = key
    if passphrase is not None:
        stored = MasterKey(_stretch(passphrase, salt)).wrap(_MASTER_FORMAT, key)
    members = {
        "format": _MASTER_FORMAT,
        "kdf": "none" if passphrase is None else "argon2id",
        "key": encode_base64(stored),
        "salt": encode_base64(salt),
    }
    _write_key_file(path, encode_json({**members}))
    return MasterKey(key)


def needs_passphrase(path: Path) -> bool:
    """Tell whether the master key in `path` is wrapped by a passphrase. Raises: StoreError."""
    return _read_master(path)[0]


def open_master_key(path: Path, passphrase: bytes | None = None) -> MasterKey:
    """Open the master key in `path`.

    Raises: StoreError: no file, not a key file, a passphrase is needed, or it is the wrong one.
    """
    is_wrapped, stored, salt = _read_master(path)
    if not is_wrapped:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise StoreError(
                Text(
                    zh=f"主密钥文件 {path} 可被其他账户读取",
                    en=f"the master key file {path} can be read by others than its owner",
                ),
                hint=Text(zh=f"运行：chmod 600 {path}", en=f"run: chmod 600 {path}"),
            )
        return MasterKey(stored)
    if passphrase is None:
        raise StoreError(
            Text(zh=f"主密钥 {path} 用口令加密", en=f"the master key {path} is wrapped by a passphrase"),
            hint=Text(zh="启动时给出口令", en="give the passphrase at the start"),
        )
    try:
        return MasterKey(MasterKey(_stretch(passphrase, salt)).unwrap(_MASTER_FORMAT, stored))
    except StoreError as err:
        raise StoreError(
            Text(zh=f"口令打不开主密钥 {path}", en=f"the passphrase does not open the master key {path}"),
            hint=Text(zh="重新输入", en="type it again"),
        ) from err


def create_sealing_key(path: Path, master: MasterKey) -> SealingKey:
    """Make a new sealing key in the file `path`, wrapped by `master`. Raises: FileExistsError."""
    private = X25519PrivateKey.generate()
    key = SealingKey(private)
    members = {
        "format": _SEALING_FORMAT,
        "private": encode_base64(master.wrap(_purpose_of(key.public), private.private_bytes_raw())),
        "public": encode_base64(key.public),
    }
    _write_key_file(path, encode_json({**members}))
    return key


def open_sealing_key(path: Path, master: MasterKey) -> SealingKey:
    """Open the sealing key in `path`. Raises: StoreError."""
    try:
        members = parse_members(
            parse_json(_read_key_file(path), "a sealing key file"),
            "a sealing key file",
            {"format", "private", "public"},
        )
        if members["format"] != _SEALING_FORMAT:
            raise FormatError(f"its format must be {_SEALING_FORMAT}, found {members['format']!r:.60}")
        public = parse_base64(expect_text(members["public"], "public"), "public", KEY_BYTES)
        wrapped = parse_base64(expect_text(members["private"], "private"), "private")
    except EvidenceError as err:
        raise StoreError(
            Text(zh=f"封装密钥文件 {path} 已损坏：{err}", en=f"the sealing key file {path} is damaged: {err}"),
            hint=_RESTORE,
        ) from err
    key = SealingKey(X25519PrivateKey.from_private_bytes(master.unwrap(_purpose_of(public), wrapped)))
    if key.public != public:
        raise StoreError(
            Text(
                zh=f"封装密钥文件 {path} 中的私钥与公钥不是一对",
                en=f"the sealing key file {path} holds another private key than its public one",
            ),
            hint=_RESTORE,
        )
    return key


def _purpose_of(public: bytes) -> str:
    return f"sealing-key {public.hex()}"


def _label(purpose: str) -> bytes:
    return f"jinsuo/wrap@v1\n{purpose}\n".encode()


def _stretch(passphrase: bytes, salt: bytes) -> bytes:
    return Argon2id(salt=salt, length=KEY_BYTES, iterations=3, lanes=4, memory_cost=64 << 10).derive(passphrase)


def _read_master(path: Path) -> tuple[bool, bytes, bytes]:
    """Give whether the key is wrapped, the key as stored, and the salt."""
    what = "a master key file"
    try:
        members = parse_members(parse_json(_read_key_file(path), what), what, {"format", "kdf", "key", "salt"})
        if members["format"] != _MASTER_FORMAT or members["kdf"] not in ("none", "argon2id"):
            raise FormatError(f"its format must be {_MASTER_FORMAT} with kdf none or argon2id")
        is_wrapped = members["kdf"] == "argon2id"
        size = KEY_BYTES + (_NONCE_BYTES + 16 if is_wrapped else 0)
        key = parse_base64(expect_text(members["key"], "key"), "key", size)
        salt = parse_base64(expect_text(members["salt"], "salt"), "salt", _SALT_BYTES)
    except EvidenceError as err:
        raise StoreError(
            Text(zh=f"主密钥文件 {path} 已损坏：{err}", en=f"the master key file {path} is damaged: {err}"),
            hint=_RESTORE,
        ) from err
    return is_wrapped, key, salt


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as err:
        raise StoreError(
            Text(
                zh=f"密钥文件 {path} 读不了：{err.strerror}", en=f"the key file {path} cannot be read: {err.strerror}"
            ),
            hint=_RESTORE,
        ) from err


def _write_key_file(path: Path, data: bytes) -> None:
    if not write_new(path, data, mode=0o600):
        raise FileExistsError(f"the key file {path} exists; a key is never overwritten")
