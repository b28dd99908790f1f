# SPDX-License-Identifier: Apache-2.0
"""What an examination has found, and the sentences that follow from it: what is proven, and what is not. Pure.

`evidence.verify.verify` fills in `Findings` step by step; a sentence stands under "proven" only if the steps that it
rests on hold. What is not proven is said whatever the verdict: silence would be taken for proof.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from evidence.digest import Sha256
from evidence.keys.trust import UnitKey
from evidence.log.checkpoint import Checkpoint
from evidence.manifest.entry import Act, Entry, Level
from evidence.manifest.statement import Consistency, SnapshotStatement, Statement
from evidence.rows.line import Cell, Token
from evidence.rows.schema import Schema
from evidence.rows.values import Kind
from evidence.verify.report import Fact, Message, Outcome, Report, Row, Step, format_bound, format_time

_ONE_SECOND: Final = timedelta(seconds=1)
_NULL: Final = "NULL"


@dataclass(frozen=True, slots=True)
class TimeProof:
    """Somebody held the checkpoint at `moment`."""

    moment: datetime
    by: Message


@dataclass(slots=True)
class Findings:
    """What the steps found so far. `times` ascend; `stored_later` is the log index of an entry that says so.

    `key_unproven`: the unit's key has ended, and nobody but the center says that it signed before.
    """

    statement: Statement | None = None
    digest: Sha256 | None = None
    unit_key: UnitKey | None = None
    entry: Entry | None = None
    index: int | None = None
    checkpoint: Checkpoint | None = None
    times: list[TimeProof] = field(default_factory=list)
    unknown_authorities: list[str] = field(default_factory=list)
    unknown_operators: list[str] = field(default_factory=list)
    revocation_unchecked: bool = False
    key_unproven: bool = False
    stored_later: int | None = None
    withdrawn: bool = False
    acts: list[tuple[int, Act]] = field(default_factory=list)
    rows: list[tuple[Schema, list[Cell]]] = field(default_factory=list)
    blobs_present: int = 0
    blobs_absent: int = 0

    @property
    def level(self) -> Level:
        """How much of the statement's content the log says is at the center."""
        if self.stored_later is not None:
            return Level.STORED
        return Level.NONE if self.entry is None else self.entry.level


def report_on_bundle(steps: Sequence[Step], findings: Findings) -> Report:
    """Give the report on a bundle. Rows are shown only if no step has failed."""
    whole = bool(findings.rows) and all(step.outcome is not Outcome.FAILS for step in steps)
    rows = tuple(_show_row(schema, cells) for schema, cells in findings.rows) if whole else ()
    proven = tuple(_proven_of_bundle(findings)) if whole and not findings.key_unproven else ()
    return Report("bundle", tuple(steps), _facts(findings), rows, proven, tuple(_not_proven_of_bundle(findings)))


def report_on_receipt(steps: Sequence[Step], findings: Findings) -> Report:
    """Give the report on a receipt."""
    holds = all(step.outcome is Outcome.HOLDS for step in steps)
    proven = tuple(_proven_of_receipt(findings)) if holds else ()
    return Report("receipt", tuple(steps), _facts(findings), (), proven, tuple(_not_proven_of_receipt(findings)))


def _facts(findings: Findings) -> tuple[Fact, ...]:
    facts: list[Fact] = []

    def add(name: str, zh: str, en: str, value: str | int | None) -> None:
        if value is not None:
            facts.append(Fact(name, Message(zh, en), value))

    statement, entry = findings.statement, findings.entry
    if statement is not None:
        add("unit", "单位", "unit", statement.unit)
        add("source", "数据源", "source", statement.source)
        add("sequence", "序号", "sequence", statement.sequence)
        add("kind", "声明种类", "kind of statement", statement.kind)
    if isinstance(statement, SnapshotStatement):
        add("began", "开始读取（单位时钟）", "reading began (the unit's clock)", format_time(statement.began))
        add("ended", "结束读取（单位时钟）", "reading ended (the unit's clock)", format_time(statement.ended))
        add("consistency", "一致性", "consistency", statement.consistency.value)
        add("position", "位置", "position", statement.position)
        add("root", "快照根", "snapshot root", statement.root.hex())
    add("statement", "声明摘要", "statement's digest", None if findings.digest is None else findings.digest.hex())
    if findings.checkpoint is not None:
        add("log", "日志", "log", findings.checkpoint.origin)
        add("index", "日志条目", "log index", findings.index)
    if entry is not None:
        add("level", "级别", "level", findings.level.value)
        add("received", "收到时间（中心的说法）", "received (the center's word)", format_time(entry.received))
    if findings.times:
        add(
            "proven_time",
            "已证明的时间（不晚于）",
            "proven time (not later than)",
            format_bound(findings.times[0].moment),
        )
    return tuple(facts)


def _show_row(schema: Schema, cells: Sequence[Cell]) -> Row:
    pairs = list(zip(schema.columns, cells, strict=True))
    return Row(
        schema.name,
        tuple((column.name, _give_cell(cell)) for column, cell in pairs),
        tuple(_show_cell(column.kind, cell) for column, cell in pairs),
    )


def _give_cell(cell: Cell) -> str | None:
    if cell is None:
        return None
    return cell.encode().decode() if isinstance(cell, Token) else cell.decode("utf-8", "backslashreplace")


def _show_cell(kind: Kind, cell: Cell) -> str:
    """Write a cell for people, so that no two cells look alike.

    NULL, tokens and binary values stand bare, and so do texts that can be nothing else. All others stand in quotes, with a
    backslash before quotes and backslashes, and escapes for what does not print.
    """
    if cell is None:
        return _NULL
    if isinstance(cell, Token):
        return cell.encode().decode()
    text = cell.decode("utf-8", "surrogateescape")
    if kind is Kind.BYTES or (kind is Kind.ANY and text.startswith("b:")):
        return text
    is_plain = text.isprintable() and "\\" not in text and text == text.strip() and not text.startswith('"')
    return text if is_plain and text != _NULL else f'"{"".join(map(_quote, text))}"'


def _quote(char: str) -> str:
    if char in ('"', "\\"):
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _proven_of_bundle(findings: Findings) -> list[Message]:
    statement = findings.statement
    assert statement is not None
    name = f"{statement.unit}/{statement.source}#{statement.sequence}"
    messages = [
        Message(
            f"单位 {statement.unit} 的密钥声明：其数据源 {statement.source} 的快照 {name} 中含有所示记录，逐字节如此。",
            f"The key of unit {statement.unit} stated that snapshot {name} of its source {statement.source} has the"
            " rows shown, byte for byte.",
        )
    ]
    if findings.times:
        first = findings.times[0]
        messages.append(
            Message(
                f"该声明不晚于 {format_bound(first.moment)} 已存在（{first.by.zh}）；此后任何人都无法不留痕迹地更改它。",
                f"The statement existed by {format_bound(first.moment)} ({first.by.en}); since then nobody could change"
                " it without contradicting that.",
            )
        )
    if findings.level is Level.STORED:
        messages.append(
            Message(
                "中心在日志中声明：快照的全部内容已逐字节复核并入库（stored）。",
                "The center stated in its log that the snapshot's whole content was re-hashed and is stored.",
            )
        )
    if findings.blobs_present:
        messages.append(
            Message(
                f"附带的 {findings.blobs_present} 个大字段内容与记录一致。",
                f"The {findings.blobs_present} large cells beside the bundle are those of the rows.",
            )
        )
    return messages


def _not_proven_of_bundle(findings: Findings) -> list[Message]:
    messages = [
        Message(
            "不证明来源数据真实、完整，也不证明它是唯一的来源；只证明单位的密钥作过这样的声明。",
            "That the source was true, complete or the only one: only that the unit's key stated this.",
        ),
        Message(
            "不证明同一记录在其他时间的内容，也不证明其他表、其他记录的内容。",
            "What the record was at any other time, and anything about other tables and records.",
        ),
        Message(
            "不证明持有单位密钥的是谁；这由验证者的策略文件负责。",
            "Who held the unit's key: that is for the verifier's policy to know.",
        ),
    ]
    if not any((act.event, act.outcome) == ("accept", "accepted") for _, act in findings.acts):
        messages.append(
            Message("不证明档案部门已接收（accepted）。", "That the archives have accepted the snapshot (`accepted`).")
        )
    return messages + _limits_of_statement(findings) + _limits_of_time(findings)


def _limits_of_statement(findings: Findings) -> list[Message]:
    messages: list[Message] = []
    statement = findings.statement
    if findings.level is not Level.STORED and (statement is None or isinstance(statement, SnapshotStatement)):
        messages.append(
            Message(
                "不证明中心存有内容：只登记（registered）了声明。",
                "That the center has the content: the statement is `registered`, not `stored`.",
            )
        )
    if isinstance(statement, SnapshotStatement) and statement.consistency is not Consistency.CONSISTENT:
        messages.append(
            Message(
                f"不证明各表属于同一时刻：一致性级别为 {statement.consistency}。",
                f"That the tables are of one moment: the snapshot's consistency is `{statement.consistency}`.",
            )
        )
        began, ended = format_time(statement.began), format_time(statement.ended)
        messages.append(
            Message(
                f"不证明所示记录读取于 {began} 与 {ended} 之间：这样的快照可以沿用单位更早读取的表。",
                f"That the records were read between these two times, {began} and {ended}: such a snapshot may carry over"
                " tables that the unit has read earlier.",
            )
        )
    if findings.blobs_absent:
        messages.append(
            Message(
                f"{findings.blobs_absent} 个大字段未附带，其内容没有核对（只有摘要和大小）。",
                f"The content of {findings.blobs_absent} large cells that are not beside the bundle, only hashed.",
            )
        )
    messages.append(
        Message(
            "不证明日志中没有关于该声明的其他后续条目（例如撤回）：只检查了随附的条目。",
            "That the log has no other later entries about the statement, such as its withdrawal: only those that came"
            " along were examined.",
        )
    )
    if findings.withdrawn:
        messages.append(Message("注意：单位已撤回该声明。", "Mind: the unit has withdrawn the statement."))
    return messages


def _limits_of_time(findings: Findings) -> list[Message]:
    messages = [
        Message(f"时间戳未计入：{text}", f"A time stamp did not count: {text}") for text in findings.unknown_authorities
    ]
    if not findings.times:
        messages.append(
            Message(
                "不证明任何时间：收到时间只是中心的说法。",
                "Any time: when it was received is on the center's word alone.",
            )
        )
    elif findings.revocation_unchecked:
        messages.append(
            Message(
                "时间戳机构的证书是否被吊销没有核对（没有附带不早于该时间戳的吊销列表）。",
                "That the time-stamp authority's certificate was not revoked: no list as new as the token came along.",
            )
        )
    # A cosigner's clock tells whole seconds, so it may lie up to one before the same moment by the center's.
    if (
        findings.entry is not None
        and findings.times
        and findings.times[0].moment + _ONE_SECOND <= findings.entry.received
    ):
        messages.append(
            Message(
                "时钟不一致：第三方的时间早于中心所称的收到时间。",
                "That the clocks agree: others state a time before that at which the center says it received this.",
            )
        )
    return messages


def _proven_of_receipt(findings: Findings) -> list[Message]:
    assert findings.checkpoint is not None and findings.entry is not None and findings.times
    first = findings.times[0]
    return [
        Message(
            f"日志 {findings.checkpoint.origin} 的第 {findings.index} 条不晚于 {format_bound(first.moment)} 已存在"
            f"（{first.by.zh}）。",
            f"Entry {findings.index} of the log {findings.checkpoint.origin} existed by {format_bound(first.moment)}"
            f" ({first.by.en}).",
        )
    ]


def _not_proven_of_receipt(findings: Findings) -> list[Message]:
    messages = [
        Message(
            "回执不含任何记录：不证明数据的内容。",
            "Anything about the content of data: a receipt holds no rows.",
        )
    ]
    if findings.statement is None:
        return messages + _limits_of_time(findings)
    return messages + _limits_of_statement(findings) + _limits_of_time(findings)
