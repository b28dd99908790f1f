# SPDX-License-Identifier: Apache-2.0
"""The audit of the log's entries: signatures, chains of statements, and the catalog's rows against them.

Every entry is parsed and its note's signature verified: a statement's by a key that spoke for its unit when the entry was
received, everything else by the operator's. Per source, sequences run from 1 without a gap and each statement names
the one before. `received` never decreases. Memory: one row per statement.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from center.audit.findings import Findings, SnapshotName, Thing
from center.audit.log import LogAudit
from center.registry.catalog_tables import StatementRow
from center.registry.units import Unit
from evidence.digest import Sha256
from evidence.errors import EvidenceError, SignatureError, UnknownSignerError
from evidence.keys.key import VerificationKey
from evidence.manifest.entry import KIND_STATEMENT, KIND_STORED, Entry, Level, parse_entry, parse_stored
from evidence.manifest.statement import SnapshotStatement, Statement, key_name, parse_statement, statement_digest
from evidence.note.signed import Note, parse_note, verify_note
from terminal.language import Text


@dataclass(slots=True)
class LoggedStatement:
    """A statement as the log has it. `stored_index`: the leaf that says stored, None while only registered."""

    index: int
    level: Level
    received: datetime
    statement: Statement
    digest: Sha256
    note: bytes
    stored_index: int | None

    @property
    def name(self) -> SnapshotName:
        """Give the statement's place."""
        return SnapshotName(self.statement.unit, self.statement.source, self.statement.sequence)

    @property
    def is_stored_snapshot(self) -> bool:
        """Tell whether the center has acknowledged its content."""
        return isinstance(self.statement, SnapshotStatement) and self.stored_index is not None


@dataclass(slots=True)
class LogContent:
    """What the log says. `vkeys` are those that it says were enrolled; `registered` are units and UNIT/SOURCEs."""

    statements: dict[SnapshotName, LoggedStatement] = field(default_factory=dict)
    acts: list[tuple[int, Entry, Note]] = field(default_factory=list)
    has_damage: bool = False


def audit_entries(
    log: LogAudit,
    units: Mapping[str, Unit],
    is_lost: Callable[[str], bool],
    operator_key: VerificationKey | None,
    findings: Findings,
) -> LogContent:
    """Judge every entry; give the statements and the center's own acts.

    `is_lost` tells whether a unit's file is damaged: its statements are taken then without judging their signatures.
    """
    content = LogContent(has_damage=not log.is_known)
    strangers: dict[int, str] = {}
    latest = datetime.min.replace(tzinfo=UTC)
    for index, data in log.entries():
        if data is None:
            content.has_damage = True
            continue
        try:
            entry = parse_entry(data)
            if entry.received < latest:
                findings.add(
                    Thing.ENTRY,
                    f"log@{index}",
                    Text(
                        zh=f"收到的时间早于前一条：{entry.received}",
                        en=f"it was received before the entry before it: {entry.received}",
                    ),
                )
            latest = entry.received
            note = parse_note(entry.note)
            if entry.kind == KIND_STATEMENT:
                _take_statement(index, entry, note, units, is_lost, content)
            else:
                _take_act(index, entry, note, content)
                if operator_key is not None:
                    verify_note(note, [operator_key])
        except UnknownSignerError as err:
            strangers[index] = str(err)
        except EvidenceError as err:
            findings.add(Thing.ENTRY, f"log@{index}", err)
    _name_strangers(strangers, content, findings)
    _check_chains(content, findings)
    return content


def compare_rows(content: LogContent, rows: Mapping[SnapshotName, StatementRow], newest: int) -> Iterator[Text]:
    """Yield how the catalog's statements differ from the log's; entries after `newest` it may not have yet."""
    for name, logged in content.statements.items():
        row = rows.get(name)
        if row is None:
            if logged.index <= newest:
                yield Text(
                    zh=f"缺少声明 {name}（log@{logged.index}）", en=f"it lacks statement {name} (log@{logged.index})"
                )
            continue
        for what, found, expected in _figures(row, logged, newest):
            if found != expected:
                yield Text(
                    zh=f"声明 {name} 的 {what}：它写的是 {found}，日志是 {expected}",
                    en=f"its row of statement {name} says {what} {found}, the log {expected}",
                )
    if not content.has_damage:
        for name in rows.keys() - content.statements.keys():
            yield Text(zh=f"其中的声明 {name} 在日志中没有", en=f"it has a statement {name} that the log does not have")


def _name_strangers(strangers: Mapping[int, str], content: LogContent, findings: Findings) -> None:
    """Name entries whose signer nobody knows. If the operator has signed none of them, it is his key that is wrong."""
    acts = {index for index, _, _ in content.acts}
    if len(acts) > 1 and acts <= strangers.keys():
        why = Text(
            zh=f"日志中的 {len(acts)} 条操作不是用这把密钥签署的",
            en=f"it is not the key that has signed the {len(acts)} acts of the log",
        )
        findings.add(Thing.KEY, "keys/operator.pem", why)
        strangers = {index: reason for index, reason in strangers.items() if index not in acts}
    for index, reason in strangers.items():
        findings.add(Thing.ENTRY, f"log@{index}", reason)


def _take_statement(
    index: int,
    entry: Entry,
    note: Note,
    units: Mapping[str, Unit],
    is_lost: Callable[[str], bool],
    content: LogContent,
) -> None:
    statement = parse_statement(note.text)
    name = SnapshotName(statement.unit, statement.source, statement.sequence)
    unit = units.get(statement.unit)
    if unit is not None:
        name_of_key = key_name(statement.unit, statement.source)
        verify_note(note, [key.renamed(name_of_key) for key in _find_speaking(unit, entry.received)])
    elif not is_lost(statement.unit):
        raise UnknownSignerError(f"statement {name} is of a unit that is not in units/")
    if name in content.statements:
        raise SignatureError(f"there are two statements {name} in the log")
    content.statements[name] = LoggedStatement(
        index=index,
        level=entry.level,
        received=entry.received,
        statement=statement,
        digest=statement_digest(note.text),
        note=entry.note,
        stored_index=index if entry.level is Level.STORED else None,
    )


def _find_speaking(unit: Unit, received: datetime) -> list[VerificationKey]:
    """Give the keys that could speak for a unit then: its newest, and those that gave way to it one after another.

    Keys that share a cosigner's key followed each other by an attested change. An enrolment brings two new ones, and what
    was before it was lost: nothing by it is admitted any more.
    """
    pairs = [pair for pair in unit.keys if pair.since <= received]
    return [pair.statement for pair in pairs if pair.cosigner == pairs[-1].cosigner]


def _take_act(index: int, entry: Entry, note: Note, content: LogContent) -> None:
    content.acts.append((index, entry, note))
    if entry.kind == KIND_STORED:
        act = parse_stored(note.text)
        name = SnapshotName(act.unit, act.source, act.sequence)
        logged = content.statements.get(name)
        if logged is not None and logged.digest == act.statement:
            logged.stored_index = index
        elif not content.has_damage:
            raise SignatureError(f"it says that {name} is stored, but no such statement stands before it")


def _check_chains(content: LogContent, findings: Findings) -> None:
    """Check sequence and previous within each source; what is damaged is not blamed twice."""
    for name, logged in content.statements.items():
        if name.sequence == 1:
            continue
        before = content.statements.get(SnapshotName(name.unit, name.source, name.sequence - 1))
        if before is None:
            if not content.has_damage:
                findings.add(
                    Thing.STATEMENT,
                    f"log@{logged.index}",
                    Text(
                        zh=f"声明 {name} 没有前一条：日志中没有 {name.source}#{name.sequence - 1}",
                        en=f"statement {name} follows none: {name.source}#{name.sequence - 1} is not in the log",
                    ),
                    snapshots=[name],
                )
        elif logged.statement.previous != before.digest or logged.index < before.index:
            findings.add(
                Thing.STATEMENT,
                f"log@{logged.index}",
                Text(
                    zh=f"声明 {name} 所指的前一条不是 log@{before.index}",
                    en=f"statement {name} does not name the statement before it, log@{before.index}",
                ),
                snapshots=[name],
            )


def _figures(row: StatementRow, logged: LoggedStatement, newest: int) -> Iterator[tuple[str, object, object]]:
    statement = logged.statement
    yield "kind", row.kind, statement.kind
    yield "digest", _hex(row.digest), logged.digest.hex()
    yield "previous", _hex(row.previous), _hex(statement.previous)
    yield "log index", row.index, logged.index
    yield "received", row.received, logged.received
    yield "note", row.note, logged.note
    if logged.stored_index is None or logged.stored_index <= newest:
        yield "stored index", row.stored_index, logged.stored_index
        yield "level", row.level, logged.level if logged.stored_index is None else Level.STORED
    if isinstance(statement, SnapshotStatement):
        yield "began", row.began, statement.began
        yield "ended", row.ended, statement.ended
        yield "tables", row.tables, statement.tables
        yield "rows", row.rows, statement.rows
        yield "bytes", row.bytes_, statement.bytes_
        yield "root", _hex(row.root), _hex(statement.root)
        yield "manifest", _hex(row.manifest_sha256), _hex(statement.manifest_sha256)
        yield "consistency", row.consistency, statement.consistency.value


def _hex(value: object) -> str:
    """Write a digest; what a damaged database gives in its place may be anything."""
    if isinstance(value, bytes):
        return value.hex()
    return "-" if value is None else repr(value)
