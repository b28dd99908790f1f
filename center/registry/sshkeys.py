# SPDX-License-Identifier: Apache-2.0
"""Keys of agents that come by SSH: a file as OpenSSH's `authorized_keys`, a line a unit, each good for one thing alone.

    restrict,port-forwarding,permitopen="127.0.0.1:8443",permitlisten="127.0.0.1:1",command="/bin/false" ssh-ed25519 AAAA… jinsuo:X013

Such a key opens a connection to the center, and no terminal, command, file transfer, agent or other connection;
`permitlisten` names a port that no ordinary account can listen on, because there is no word for none. Invariant: a
change is first logged, then durable here in one step, then told; lines of others are kept as they are; a key stands in
one line, for sshd takes the first. An agent's evidence does not hang on this file: whoever gets through still meets the
pin, the token and the log. Only Ed25519 keys are taken. Source: sshd(8), AUTHORIZED_KEYS FILE FORMAT; decision 0064.
"""

import binascii
import os
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from center.errors import ConflictError, RefusedError, StoreError
from center.registry.lock import FolderLock
from center.registry.units import Record
from evidence.digest import sha256
from evidence.disk import NewFile
from evidence.manifest.entry import Act
from terminal.language import Text

_KIND: Final = "ssh-ed25519"
_PREFIX: Final = b"\0\0\0\x0b" + _KIND.encode() + b"\0\0\0\x20"
_MARK: Final = "jinsuo:"
_OURS: Final = re.compile(rf"\S* *{_KIND} (\S+) {_MARK}([A-Za-z0-9][A-Za-z0-9._-]*)")
_TARGET: Final = re.compile(r'permitopen="([^"]+)"')
_MOST_BYTES: Final = 4 << 20


class Change(StrEnum):
    """What an act has changed."""

    ADDED = "added"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 key, as text in base64."""

    text: str

    @property
    def fingerprint(self) -> str:
        """Give the fingerprint, as ssh-keygen prints it."""
        return "SHA256:" + b64encode(sha256(b64decode(self.text))).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class UnitKey:
    """A unit's line. `target`: where the key leads; `is_whole`: the line is what we write, so it leads nowhere else."""

    unit: str
    key: PublicKey
    target: str
    is_whole: bool = True

    def encode(self) -> str:
        """Write the line."""
        options = f'restrict,port-forwarding,permitopen="{self.target}",permitlisten="127.0.0.1:1",command="/bin/false"'
        return f"{options} {_KIND} {self.key.text} {_MARK}{self.unit}"


def parse_public_key(text: str) -> PublicKey:
    """Read a public key as `jinsuo-agent ssh-key` prints it. Raises: RefusedError."""
    lines = [line for line in text.splitlines() if line.strip()]
    words = lines[0].split() if len(lines) == 1 else []
    if any("PRIVATE KEY" in line for line in lines):
        raise RefusedError(
            Text(zh="这是私钥，不是公钥", en="this is a private key"),
            hint=Text(
                zh="私钥不得离开采集端：在那里移开它，重新运行 `jinsuo-agent ssh-key`",
                en="it must not leave the agent: move it away there, and run `jinsuo-agent ssh-key` anew",
            ),
        )
    if len(words) < 2 or words[0] != _KIND or not _is_key(words[1]):
        raise RefusedError(
            Text(zh="不是一行 ssh-ed25519 公钥", en="this is no public key of one line that begins with ssh-ed25519"),
            hint=Text(
                zh="用 `jinsuo-agent ssh-key` 打印的那一行，不加选项",
                en="take the line that `jinsuo-agent ssh-key` prints, without options before it",
            ),
        )
    return PublicKey(words[1])


def _is_key(text: str) -> bool:
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw.startswith(_PREFIX) and len(raw) == len(_PREFIX) + 32 and b64encode(raw).decode() == text


class AuthorizedKeys:
    """The file at `path`, which sshd reads. Processes take turns; acts are logged through `record`."""

    def __init__(self, path: Path, record: Record) -> None:
        self._path = path
        self._record = record

    def units(self) -> list[UnitKey]:
        """Give the lines of units, in the order of the file. Raises: StoreError."""
        return [found for line in self._read() if (found := _find_unit(line)) is not None]

    def add(self, unit: str, key: PublicKey, target: str, *, by: str) -> Change:
        """Let `unit` come with `key`, and with no other, to `target`. Raises: ConflictError if it is another's key."""
        wanted = UnitKey(unit, key, target)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock().hold():
            lines = self._read()
            own = [line for line in lines if _unit_of(line) == unit]
            if own == [wanted.encode()]:
                return Change.UNCHANGED
            rest = [line for line in lines if _unit_of(line) != unit]
            for line in rest:
                if key.text in line.split():
                    raise ConflictError(
                        Text(
                            zh=f"{self._path} 中另一行已有此密钥：{_name(line)}",
                            en=f"another line of {self._path} has this key: {_name(line)}",
                        ),
                        hint=Text(
                            zh="每个采集端用自己的密钥：不要复制采集端目录",
                            en="each agent has a key of its own: do not copy an agent's folder",
                        ),
                    )
            change = Change.REPLACED if own else Change.ADDED
            self._record("unit", Act("ssh key", unit, change.value, by, f"{key.fingerprint} to {target}"))
            self._write([*rest, wanted.encode()])
        return change

    def remove(self, unit: str, *, by: str) -> bool:
        """Let `unit` come by SSH no more; sessions that stand are not ended. False: it had no key."""
        if not self._path.exists():
            return False
        with self._lock().hold():
            lines = self._read()
            rest = [line for line in lines if _unit_of(line) != unit]
            if rest == lines:
                return False
            gone = [found.key.fingerprint for line in lines if _unit_of(line) == unit and (found := _find_unit(line))]
            self._record("unit", Act("ssh key", unit, "removed", by, " ".join(gone) or "a line that was altered"))
            self._write(rest)
        return True

    def _lock(self) -> FolderLock:
        return FolderLock(self._path.with_name(f".{self._path.name}.lock"))

    def _read(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                raw = file.read(_MOST_BYTES + 1)
            text = raw.decode()
        except FileNotFoundError:
            return []
        except UnicodeDecodeError as err:
            raise self._unreadable("not UTF-8") from err
        if len(raw) > _MOST_BYTES:
            raise self._unreadable(f"longer than {_MOST_BYTES} bytes")
        return text.removesuffix("\n").split("\n") if text else []

    def _unreadable(self, why: str) -> StoreError:
        return StoreError(
            Text(zh=f"{self._path} 读不出来：{why}", en=f"{self._path} cannot be read: {why}"),
            hint=Text(zh="检查是否指错了文件", en="check that this is the right file"),
        )

    def _write(self, lines: list[str]) -> None:
        # Not writable for others whatever the umask: sshd would not read it.
        with NewFile(self._path.parent, f"{self._path.name}.{os.getpid()}", 0o644) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.commit_over(self._path)


def _unit_of(line: str) -> str | None:
    """Give whose line it is, by its last word; None: it is not ours."""
    last = line.split()[-1:] or [""]
    return last[0].removeprefix(_MARK) if last[0].startswith(_MARK) and not line.startswith("#") else None


def _find_unit(line: str) -> UnitKey | None:
    unit = _unit_of(line)
    match = _OURS.fullmatch(line)
    if unit is None or match is None or not _is_key(match[1]):
        return None if unit is None else UnitKey(unit, PublicKey(""), "", is_whole=False)
    target = _TARGET.search(line)
    found = UnitKey(unit, PublicKey(match[1]), target[1] if target else "")
    return found if found.encode() == line else UnitKey(unit, found.key, found.target, is_whole=False)


def _name(line: str) -> str:
    return (line.split()[-1:] or ["?"])[0][:80]
