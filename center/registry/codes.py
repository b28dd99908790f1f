# SPDX-License-Identifier: Apache-2.0
"""Which enrolment code works, and for which keys. Pure: no I/O, the time is an argument.

A code works once, within its time; the same agent asking again with the same keys (its answer was lost on the line) gets
the same answer. Source: design section 6.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from center.errors import ConflictError, ForbiddenError
from center.registry.unitfile import IssuedCode, KeyPair, UnitRecord
from terminal.language import Text

_ASK = Text(
    zh="向档案馆要新的登记码：jinsuo-center unit rekey UNIT",
    en="ask the archives for a new code: jinsuo-center unit rekey UNIT",
)


def get_code(records: Iterable[UnitRecord], digest: bytes) -> tuple[UnitRecord, IssuedCode]:
    """Give the code of whose secret this is the SHA-256, with its unit. Raises: ForbiddenError."""
    for record in records:
        for code in record.codes:
            if code.secret_sha256 == digest:
                return record, code
    raise no_code()


def is_repeated(record: UnitRecord, issued: IssuedCode, pair: KeyPair) -> bool:
    """Tell whether these keys were enrolled by this very code before (the time of enrolment marks both)."""
    if not record.keys or issued.used != record.keys[-1].since or record.disabled:
        return False
    return record.keys[-1] == replace(pair, since=record.keys[-1].since)


def check_code(record: UnitRecord, issued: IssuedCode, now: datetime) -> None:
    """Raises: ForbiddenError unless the code may be used now."""
    if record.disabled:
        raise ForbiddenError(
            Text(zh=f"单位 {record.unit} 已停用", en=f"unit {record.unit} is disabled"),
            hint=Text(zh="请打电话给档案馆", en="call the archives"),
        )
    if issued.used is not None:
        raise ForbiddenError(
            Text(
                zh=f"单位 {record.unit} 的登记码已于 {issued.used:%Y-%m-%d %H:%M} UTC 用过；登记码只能用一次",
                en=f"the enrolment code of unit {record.unit} was used on {issued.used:%Y-%m-%d at %H:%M} UTC; "
                "a code works once",
            ),
            hint=Text(
                zh=f"若不是你用的，立即打电话给档案馆；否则{_ASK.zh}",
                en=f"if that was not you, call the archives at once; else {_ASK.en}",
            ),
        )
    if now >= issued.expires:
        raise ForbiddenError(
            Text(
                zh=f"单位 {record.unit} 的登记码已于 {issued.expires:%Y-%m-%d %H:%M} UTC 到期",
                en=f"the enrolment code of unit {record.unit} ended on {issued.expires:%Y-%m-%d at %H:%M} UTC",
            ),
            hint=_ASK,
        )


def check_fresh(pair: KeyPair, records: Iterable[UnitRecord]) -> None:
    """Raises: ConflictError if a key was ever enrolled before: two quorum members must be two parties."""
    new, old = {pair.statement.public, pair.cosigner.public}, public_keys(records)
    if len(new) != 2 or new & old:
        raise ConflictError(
            Text(zh="登记时送来的密钥已有人在用", en="a key that was sent for enrolment is in use already"),
            hint=Text(
                zh="不要把采集端目录复制到另一台机器：用 `jinsuo-agent init` 新建一个",
                en="do not copy an agent's folder to another machine: make a new one with `jinsuo-agent init`",
            ),
        )


def public_keys(records: Iterable[UnitRecord]) -> set[bytes]:
    """Give all public keys that units have or had."""
    return {key.public for record in records for pair in record.keys for key in (pair.statement, pair.cosigner)}


def no_code() -> ForbiddenError:
    """Give the error of a code that is nobody's."""
    return ForbiddenError(
        Text(
            zh="本中心没有单位有这个登记码，或它已被新的取代",
            en="no unit of this center has this enrolment code, or a newer one replaced it",
        ),
        hint=_ASK,
    )
