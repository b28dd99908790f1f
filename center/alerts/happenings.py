# SPDX-License-Identifier: Apache-2.0
"""What happened: rules over what the log has taken since the last look. Pure; each statement is looked at once.

Compared are consecutive stored snapshots of one source; very small ones are not, for there a few rows are many percent.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from center.alerts.alert import Alert, Kind, Severity
from center.alerts.scene import Fresh, FreshStatement, SchemaChange
from center.registry.catalog_tables import StatementRow
from center.settings.alerts import AlertSettings
from evidence.errors import EvidenceError
from evidence.manifest.statement import GapStatement, parse_statement
from evidence.note.signed import parse_note
from terminal.language import Text
from terminal.printer import format_size, make_one_line

EventRule: TypeAlias = Callable[[Fresh, AlertSettings], Iterator[Alert]]
LEAST_ROWS: Final = 20
LEAST_BYTES: Final = 16 << 10
_MOST_NAMED: Final = 5
_MOST_OF_NAME: Final = 60
_MOST_OF_LINE: Final = 300


def has_shrunk(fresh: Fresh, settings: AlertSettings) -> Iterator[Alert]:
    """A snapshot has fewer rows or bytes than the one before, by more than `shrink` percent."""
    if settings.shrink is None:
        return
    left = 1 - settings.shrink / 100
    for row, before in _find_sized(fresh, lambda was, is_now: is_now < was * left):
        yield Alert(
            Kind.SHRUNK, _place(row), Severity.ERROR, row.received,
            Text(
                zh=f"{_name(row)} 比 #{before.sequence} 小了很多：{_sizes_zh(before, row)}",
                en=f"{_name(row)} is much smaller than #{before.sequence}: {_sizes(before, row)}",
            ),
            Text(
                zh=f"问该单位是否删除、归档或迁移了数据；{_compare(row, before).zh}；旧快照仍完好",
                en=f"ask the unit whether data was deleted, archived or moved; {_compare(row, before).en}; the older"
                " snapshot is whole",
            ),
        )  # fmt: skip


def has_grown(fresh: Fresh, settings: AlertSettings) -> Iterator[Alert]:
    """A snapshot has `grow` times as many rows or bytes as the one before."""
    if settings.grow is None:
        return
    most = settings.grow
    for row, before in _find_sized(fresh, lambda was, is_now: is_now > was * most):
        yield Alert(
            Kind.GROWN, _place(row), Severity.WARNING, row.received,
            Text(
                zh=f"{_name(row)} 比 #{before.sequence} 大了很多：{_sizes_zh(before, row)}",
                en=f"{_name(row)} is much larger than #{before.sequence}: {_sizes(before, row)}",
            ),
            Text(
                zh=f"问该单位是否导入了数据；{_compare(row, before).zh}；看中心的磁盘够不够",
                en=f"ask the unit whether data was imported; {_compare(row, before).en}; see that the center's disk lasts",
            ),
        )  # fmt: skip


def has_other_schema(fresh: Fresh, _settings: AlertSettings) -> Iterator[Alert]:
    """A table came, vanished, or has another schema than in the stored snapshot before."""
    for one in fresh.statements:
        if one.change is None or one.before is None:
            continue
        row = one.row
        severity = Severity.ERROR if one.change.vanished else Severity.WARNING
        told = _describe(one.change)
        yield Alert(
            Kind.SCHEMA, _place(row), severity, row.received,
            Text(
                zh=f"{_name(row)} 的表结构与 #{one.before.sequence} 不同：{told.zh}",
                en=f"{_name(row)} has other tables than #{one.before.sequence}: {told.en}",
            ),
            Text(
                zh=f"问该单位是否升级了系统；{_compare(row, one.before).zh}",
                en=f"ask the unit whether the system was upgraded; {_compare(row, one.before).en}",
            ),
        )  # fmt: skip


def has_stated_gap(fresh: Fresh, _settings: AlertSettings) -> Iterator[Alert]:
    """A unit states that something is not covered."""
    for one in fresh.statements:
        if one.row.kind != GapStatement.kind:
            continue
        cause, lost = _read_gap(one)
        yield Alert(
            Kind.GAP, _place(one.row), Severity.ERROR, one.row.received,
            Text(
                zh=f"{_name(one.row)} 声明缺口（{cause}）：{lost}", en=f"{_name(one.row)} states a gap ({cause}): {lost}"
            ),
            Text(
                zh="记下原因；看该来源此后是否又有快照（jinsuo-center snapshots），必要时与单位补救",
                en="note the reason, and see whether snapshots have come since (`jinsuo-center snapshots`)",
            ),
        )  # fmt: skip


def has_conflict(fresh: Fresh, _settings: AlertSettings) -> Iterator[Alert]:
    """Another text was sent for a sequence that was admitted before."""
    for conflict in fresh.conflicts:
        yield Alert(
            Kind.CONFLICT, conflict.place, Severity.ERROR, conflict.received,
            Text(
                zh=f"{conflict.place} 又来了另一份声明，已拒绝并记入日志",
                en=f"another statement was sent for {conflict.place}; it was refused, and that is logged",
            ),
            Text(
                zh="可能有两个采集端用同一密钥（复制的目录）：查明哪个是真的，停下另一个",
                en="two agents may use one key (a copied folder): find out which is the right one, stop the other",
            ),
        )  # fmt: skip


EVENT_RULES: Final[Mapping[Kind, EventRule]] = {
    Kind.SHRUNK: has_shrunk,
    Kind.GROWN: has_grown,
    Kind.SCHEMA: has_other_schema,
    Kind.GAP: has_stated_gap,
    Kind.CONFLICT: has_conflict,
}


def _find_sized(fresh: Fresh, is_other: Callable[[int, int], bool]) -> Iterator[tuple[StatementRow, StatementRow]]:
    """Yield the snapshots that have other rows or bytes, as `is_other` sees it, than the one before, with that one."""
    for one in fresh.statements:
        row, before = one.row, one.before
        if before is None:
            continue
        has_rows = before.rows >= LEAST_ROWS and is_other(before.rows, row.rows)
        has_bytes = before.bytes_ >= LEAST_BYTES and is_other(before.bytes_, row.bytes_)
        if has_rows or has_bytes:
            yield row, before


def _place(row: StatementRow) -> str:
    return f"{row.unit}/{row.source}#{row.sequence}"


def _name(row: StatementRow) -> str:
    return f"{row.unit} {row.source}#{row.sequence}"


def _sizes(before: StatementRow, row: StatementRow) -> str:
    return (
        f"{before.rows:,} → {row.rows:,} rows, {format_size(before.bytes_)} → {format_size(row.bytes_)}"
        f" ({_percent(before.rows, row.rows)} rows, {_percent(before.bytes_, row.bytes_)} bytes)"
    )


def _sizes_zh(before: StatementRow, row: StatementRow) -> str:
    return (
        f"{before.rows:,} → {row.rows:,} 行（{_percent(before.rows, row.rows)}），"
        f"{format_size(before.bytes_)} → {format_size(row.bytes_)}（{_percent(before.bytes_, row.bytes_)}）"
    )


def _percent(before: int, after: int) -> str:
    return "-" if before == 0 else f"{100 * (after - before) / before:+.0f} %"


def _compare(row: StatementRow, before: StatementRow) -> Text:
    command = f"jinsuo-center diff {row.unit} {row.source} {before.sequence} {row.sequence}"
    return Text(zh=f"用 {command} 看差别", en=f"`{command}` shows the difference")


def _describe(change: SchemaChange) -> Text:
    parts = [
        (change.came, "新增", "came"), (change.vanished, "消失", "vanished"), (change.altered, "改变", "changed"),
    ]  # fmt: skip
    return Text(
        zh="；".join(f"{word} {_list(names)}" for names, word, _ in parts if names),
        en="; ".join(f"{_list(names)} {word}" for names, _, word in parts if names),
    )


def _list(names: tuple[str, ...]) -> str:
    shown = ", ".join(_cut(make_one_line(name), _MOST_OF_NAME) for name in names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} … ({len(names)})"


def _read_gap(one: FreshStatement) -> tuple[str, str]:
    try:
        statement = parse_statement(parse_note(one.row.note).text)
    except EvidenceError:
        return "-", "-"  # of another version; `audit` reports what cannot be read
    if not isinstance(statement, GapStatement):
        return "-", "-"
    return statement.cause.value, _cut(statement.lost, _MOST_OF_LINE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
