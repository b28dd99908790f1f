# SPDX-License-Identifier: Apache-2.0
"""The units: who may send, by which keys, which sources they have, and the secrets of those.

Invariant: a change is first logged through `record` (a leaf among the center's own acts), then durable here, then
answered. So no key counts that is not in the log; an act that a crash left without effect is logged again when it is
done again. Of an enrolment code only the SHA-256 of its secret is kept; which code works is `codes.py`'s. How the files lie
is `unitfolder.py`'s. Threads and processes: any. Clock and randomness are arguments.
Source: design section 6, formats.md.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from center.config import MOST_SOURCES
from center.errors import ConflictError, NotFoundError, RefusedError
from center.registry.codes import check_code, check_fresh, get_code, is_repeated, no_code, public_keys
from center.registry.seal import MasterKey
from center.registry.unitfile import IssuedCode, KeyPair, SourceRecord, UnitRecord
from center.registry.unitfolder import UnitFolder, is_name
from evidence.digest import sha256
from evidence.errors import EvidenceError
from evidence.keys.key import KeyType, VerificationKey
from evidence.manifest.entry import Act
from evidence.wire.enrolment import SECRET_BYTES, EnrolmentCode
from evidence.wire.secrets import SourceSecrets, parse_secrets
from terminal.language import Text

CODE_LIFETIME: Final = timedelta(days=14)

Record: TypeAlias = Callable[[str, Act], object]
"""Log an act of the center's own: the entry's kind and the act. Returns when it is under a checkpoint, or raises."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as it is now. `keys` are all pairs it ever had, oldest first; the keys are None before it is enrolled."""

    unit: str
    name: str
    disabled: bool
    statement_key: VerificationKey | None
    cosigner_key: VerificationKey | None
    enrolled_at: datetime | None
    sources: tuple[str, ...]
    last_checkpoint_size: int | None
    keys: tuple[KeyPair, ...] = ()

    @property
    def former_keys(self) -> tuple[VerificationKey, ...]:
        """Give the statement keys that gave way to the one of now by attested changes, newest first.

        Keys that share a cosigner's key followed each other by such; at an enrolment both are new.
        """
        return tuple(pair.statement for pair in self.keys[-2::-1] if pair.cosigner == self.cosigner_key)


class Units:
    """The registry of units in one folder."""

    def __init__(
        self,
        folder: Path,
        master: MasterKey,
        clock: Callable[[], datetime],
        record: Record,
        *,
        spki_sha256: bytes,
        vkey: str,
        random: Callable[[int], bytes] = os.urandom,
        most_sources: int = MOST_SOURCES,
    ) -> None:
        """Open the registry in `folder`; `spki_sha256`, `vkey` and `random` are what enrolment codes are made of.

        `most_sources`: so many a unit may have before a new one is refused.
        """
        self._folder = UnitFolder(folder)
        self._master = master
        self._clock = clock
        self._record = record
        self._spki_sha256 = spki_sha256
        self._vkey = vkey
        self._random = random
        self._most_sources = most_sources
        self._secrets: dict[tuple[str, str], SourceSecrets] = {}
        self._seen: dict[str, tuple[KeyPair, int]] = {}

    def add(self, unit: str, name: str, *, by: str = "center", lifetime: timedelta = CODE_LIFETIME) -> EnrolmentCode:
        """Add a unit, and give the code by which its agent introduces itself, once, within `lifetime`.

        Raises:
            RefusedError: the name of the unit cannot be one, or the code's lifetime is none.
            ConflictError: there is such a unit.
        """
        self._check_new_name(unit, Text(zh="单位编号", en="unit"))
        now = self._clock()
        secret, issued = self._issue(now, lifetime)
        try:
            record = UnitRecord(unit, name, now, codes=(issued,))
        except EvidenceError as err:
            raise RefusedError(
                Text(zh=f"不能添加单位 {unit}：{err}", en=f"unit {unit} cannot be added: {err}"),
                hint=Text(zh="名称要写成一行", en="give the name as one line"),
            ) from err
        with self._folder.changing():
            known = next((other for other in self._folder.names() if other.casefold() == unit.casefold()), None)
            if known is not None:
                raise ConflictError(
                    Text(zh=f"已有单位 {known}", en=f"there is a unit {known} already"),
                    hint=Text(
                        zh=f"密钥丢失时：jinsuo-center unit rekey {known}",
                        en=f"for a lost key: jinsuo-center unit rekey {known}",
                    ),
                )
            self._record("unit", Act("registration", unit, "added", by, name))
            self._folder.add(record)
        return EnrolmentCode.of(self._spki_sha256, self._vkey, secret)

    def use_tls(self, spki_sha256: bytes) -> None:
        """Have enrolment codes name another TLS key of the center from now on."""
        self._spki_sha256 = spki_sha256

    def rekey(self, unit: str, *, by: str = "center", lifetime: timedelta = CODE_LIFETIME) -> EnrolmentCode:
        """Give a new code for a unit whose agent has lost its keys, or has not enrolled in time.

        The old keys count until the new agent is enrolled (`disable` the unit if they are in wrong hands); codes given
        before are void. Raises: NotFoundError; RefusedError if the unit is disabled.
        """
        with self._folder.changing():
            record = self._folder.load(unit)
            if record.disabled:
                raise RefusedError(
                    Text(zh=f"单位 {unit} 已停用", en=f"unit {unit} is disabled"),
                    hint=Text(
                        zh=f"先启用它：jinsuo-center unit enable {unit}",
                        en=f"enable it first: jinsuo-center unit enable {unit}",
                    ),
                )
            secret, issued = self._issue(self._clock(), lifetime)
            self._record("unit", Act("rekey", unit, "code given", by, "a new enrolment code"))
            used = tuple(code for code in record.codes if code.used is not None)
            self._folder.save(replace(record, codes=(*used, issued)))
        return EnrolmentCode.of(self._spki_sha256, self._vkey, secret)

    def enroll(self, secret: bytes, statement: bytes, cosigner: bytes) -> Unit:
        """Enrol the agent that knows a code's `secret[16]`, with the public keys `statement[32]`, `cosigner[32]`.

        The caller has verified that the agent holds both private keys. A unit that had keys before continues under the
        new ones; the key change is logged as `unattested`, because the lost key cannot sign for it.

        Raises:
            ForbiddenError: no unit has this code, it was used, it is late, or the unit is disabled.
            ConflictError: another unit has one of the keys.
        """
        return self.enroll_by(sha256(secret), statement, cosigner)

    def find_code(self, fits: Callable[[bytes], bool]) -> bytes:
        """Give the SHA-256 of the secret of the one code of which `fits` says that it is meant. Raises: ForbiddenError."""
        for record in self._records():
            for code in record.codes:
                if fits(code.secret_sha256):
                    return code.secret_sha256
        raise no_code()

    def enroll_by(self, secret_sha256: bytes, statement: bytes, cosigner: bytes) -> Unit:
        """Enrol as `enroll` does, by the SHA-256 of a code's secret: a newcomer has shown otherwise that it knows it."""
        with self._folder.changing():
            record, issued = get_code(self._records(), secret_sha256)
            pair = KeyPair(
                VerificationKey(record.unit, KeyType.ED25519, statement),
                VerificationKey(record.unit, KeyType.COSIGNATURE, cosigner),
                self._clock(),
            )
            if is_repeated(record, issued, pair):
                return self.get(record.unit)
            check_code(record, issued, pair.since)
            check_fresh(pair, self._records())
            self._record_keys(record, pair)
            codes = tuple(replace(code, used=pair.since) if code == issued else code for code in record.codes)
            self._folder.save(replace(record, codes=codes, keys=(*record.keys, pair)))
        return self.get(record.unit)

    def check_key_change(self, unit: str, old: VerificationKey, new: VerificationKey) -> None:
        """Raises: RefusedError unless `old` is the unit's statement key and `new` is nobody's yet."""
        current = self.get(unit).statement_key
        taken = public_keys(self._records())
        if current != old or new.public in taken:
            why = Text(zh="原密钥不是该单位的", en="the old one is not the unit's")
            if current == old:
                why = Text(zh="新密钥已有人在用", en="the new one is in use already")
            raise RefusedError(
                Text(
                    zh=f"单位 {unit} 的声明密钥不能由 {old.key_id.hex()} 换成 {new.key_id.hex()}：{why.zh}",
                    en=f"the statement key of unit {unit} cannot change from {old.key_id.hex()} to {new.key_id.hex()}: {why.en}",
                ),
                hint=Text(
                    zh="再运行一次 `jinsuo-agent key replace`；若再被拒绝，向档案馆要新的登记码",
                    en="run `jinsuo-agent key replace` again; if it is refused again, ask the archives for a new code",
                ),
            )

    def change_key(self, unit: str, old: VerificationKey, new: VerificationKey) -> None:
        """Give a unit another statement key, which the old one has attested; its cosigner key stays. Logged first.

        Does nothing if the unit has had the new key before. Raises: RefusedError as `check_key_change`.
        """
        with self._folder.changing():
            record = self._folder.load(unit)
            if any(pair.statement == new for pair in record.keys):
                return
            self.check_key_change(unit, old, new)
            self._record("key", Act("key change", unit, "attested", unit, f"{old.vkey} -> {new.vkey}"))
            self._folder.save(
                replace(record, keys=(*record.keys, replace(record.keys[-1], statement=new, since=self._clock())))
            )

    def disable(self, unit: str, *, by: str = "center", reason: str = "by order") -> None:
        """Stop taking requests from a unit; what it has sent stays. Raises: NotFoundError."""
        self._set_disabled(unit, True, by, reason)

    def enable(self, unit: str, *, by: str = "center", reason: str = "by order") -> None:
        """Take requests from a unit again. Raises: NotFoundError."""
        self._set_disabled(unit, False, by, reason)

    def get(self, unit: str) -> Unit:
        """Give a unit. Raises: NotFoundError."""
        record = self._folder.load(unit)
        current = record.keys[-1] if record.keys else None
        return Unit(
            record.unit,
            record.name,
            record.disabled,
            None if current is None else current.statement,
            None if current is None else current.cosigner,
            None if current is None else current.since,
            self._folder.sources(unit),
            self._folder.find_seen(record),
            record.keys,
        )

    def list(self) -> list[Unit]:
        """Give all units, by name."""
        return [self.get(unit) for unit in self._folder.names()]

    def register_source(self, unit: str, source: str, secrets: SourceSecrets) -> bool:
        """Keep the secrets of a source; tell whether it is new. The same secrets again are no error.

        Raises:
            NotFoundError: no such unit.
            RefusedError: the name cannot be a source's, or the unit has as many sources as it may have.
            ConflictError: the source has other secrets here.
        """
        self._folder.load(unit)
        self._check_new_name(source, Text(zh="来源", en="source"))
        with self._folder.changing():
            sources = self._folder.sources(unit)
            known = next((other for other in sources if other.casefold() == source.casefold()), None)
            if known is not None:
                if known == source and self.secrets(unit, source) == secrets:
                    return False
                raise ConflictError(
                    Text(
                        zh=f"来源 {unit}/{known} 在中心已有秘密，送来的是另一套",
                        en=f"source {unit}/{known} has secrets at the center, and those sent are others",
                    ),
                    hint=Text(
                        zh="采集端要取回该来源自己的秘密：用旧目录重新登记，或给来源换一个名称",
                        en="the agent must take back the source's own secrets: enrol it again with its old folder, or "
                        "choose another name for the source",
                    ),
                )
            if len(sources) >= self._most_sources:
                raise RefusedError(
                    Text(
                        zh=f"单位 {unit} 已有 {len(sources)} 个来源，最多 {self._most_sources} 个：没有添加 {source}",
                        en=f"unit {unit} has {len(sources)} sources, and may have no more than {self._most_sources}: {source} is"
                        " not added",
                    ),
                    hint=Text(
                        zh="若确有这么多，由档案馆在 center.yaml 中调大 limits.sources_per_unit，并重新启动中心；否则查明新名称从何而来",
                        en="if it does have so many, the archives raise limits.sources_per_unit in center.yaml and start the"
                        " center again; else look for what makes new names",
                    ),
                )
            self._record("unit", Act("registration", f"{unit}/{source}", "added", unit, "source registered"))
            wrapped = self._master.wrap(_purpose(unit, source), secrets.encode())
            self._folder.add_source(SourceRecord(unit, source, self._clock(), wrapped))
        return True

    def secrets(self, unit: str, source: str) -> SourceSecrets:
        """Give the secrets of a source. Raises: NotFoundError, StoreError."""
        known = self._secrets.get((unit, source))
        if known is not None:
            return known
        self._folder.load(unit)
        record = self._folder.find_source(unit, source)
        if record is None:
            raise NotFoundError(
                Text(
                    zh=f"单位 {unit} 在中心没有来源 {source!r:.80}",
                    en=f"unit {unit} has no source {source!r:.80} at the center",
                ),
                hint=Text(zh="再运行一次 `jinsuo-agent send`", en="run `jinsuo-agent send` once more"),
            )
        secrets = parse_secrets(self._master.unwrap(_purpose(unit, source), record.wrapped))
        self._secrets[unit, source] = secrets
        return secrets

    def acknowledge(self, unit: str, size: int) -> None:
        """Remember, durably, the largest checkpoint that a unit's agent has shown or cosigned.

        After a start the center waits for an agent that has seen the largest of all (`Ledger.require_confirmation`).
        The mark is the agent's: an agent that is enrolled anew has seen nothing yet.
        """
        record = self._folder.load(unit)
        if not record.keys or size <= self._find_seen(record):
            return
        with self._folder.changing():
            if size > self._find_seen(record):  # another thread may have been faster
                self._folder.save_seen(record, size)
                self._seen[unit] = record.keys[-1], size

    def _records(self) -> Iterator[UnitRecord]:
        return (self._folder.load(unit) for unit in self._folder.names())

    def _find_seen(self, record: UnitRecord) -> int:
        known = self._seen.get(record.unit)
        if known is None or known[0] != record.keys[-1]:
            known = self._seen[record.unit] = record.keys[-1], self._folder.find_seen(record) or 0
        return known[1]

    def _set_disabled(self, unit: str, disabled: bool, by: str, reason: str) -> None:
        with self._folder.changing():
            record = self._folder.load(unit)
            if record.disabled is not disabled:
                self._record("unit", Act("suspension", unit, "disabled" if disabled else "enabled", by, reason))
                self._folder.save(replace(record, disabled=disabled))

    def _issue(self, now: datetime, lifetime: timedelta) -> tuple[bytes, IssuedCode]:
        if lifetime <= timedelta(0):
            raise RefusedError(
                Text(zh=f"登记码的有效期不能是 {lifetime}", en=f"a code cannot last {lifetime}"),
                hint=Text(zh="给出天数，至少 1", en="give a number of days from 1"),
            )
        secret = self._random(SECRET_BYTES)
        return secret, IssuedCode(sha256(secret), now + lifetime)

    def _record_keys(self, record: UnitRecord, pair: KeyPair) -> None:
        if not record.keys:
            self._record("key", Act("enrolment", record.unit, "enrolled", record.unit, pair.statement.vkey))
            return
        # The old key is lost, so it cannot sign for the new one: the log says so, and who reads it can ask.
        change = f"{record.keys[-1].statement.vkey} -> {pair.statement.vkey}"
        self._record("key", Act("key change", record.unit, "unattested", record.unit, change))

    def _check_new_name(self, name: str, what: Text) -> None:
        if not is_name(name):
            raise RefusedError(
                Text(
                    zh=f"{name!r:.80} 不能用作{what.zh}：须为 1 至 64 个 A-Z a-z 0-9 . _ -，以字母或数字开头",
                    en=f"{name!r:.80} cannot name a {what.en}: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit",
                ),
                hint=Text(zh=f"给{what.zh}换一个名称", en=f"choose another name for the {what.en}"),
            )


def _purpose(unit: str, source: str) -> str:
    return f"source {unit}/{source}"
