# SPDX-License-Identifier: Apache-2.0
"""Words that several commands show: levels, kinds, flags; and how cells of rows are written on a terminal."""

from typing import TYPE_CHECKING, Final

from terminal.language import Text

if TYPE_CHECKING:
    from center.registry.catalog_tables import StatementRow

LEVELS: Final = {
    "stored": Text(zh="已入库", en="stored"),
    "registered": Text(zh="已登记", en="registered"),
    "-": Text(zh="-", en="-"),
}
KINDS: Final = {
    "snapshot": Text(zh="快照", en="snapshot"),
    "gap": Text(zh="缺口声明", en="gap"),
    "plan": Text(zh="方案", en="plan"),
    "withdrawal": Text(zh="撤回", en="withdrawal"),
    "key": Text(zh="密钥变更", en="key change"),
}
FLAGS: Final = {
    "clock": Text(zh="时钟偏差", en="clock"),
    "fewer-rows": Text(zh="行数骤减", en="fewer rows"),
    "schema-changed": Text(zh="结构变化", en="schema changed"),
    "omitted": Text(zh="有略去", en="omitted"),
    "carried": Text(zh="有沿用", en="carried over"),
    "gap": Text(zh="缺口", en="gap"),
    "given-up": Text(zh="内容已放弃", en="content given up"),
}
CONFIRM_HELP: Final = Text(
    zh="没有采集端可以证实日志是最新的：由操作员担保，记入日志",
    en="no agent is left to confirm that the ledger is the newest: the operator vouches, and it is logged",
)
MOST_SHOWN: Final = 60
_SHOWN_BEFORE: Final = 20
"""So many characters that two texts have in common are shown before the first that they have not."""


def label(row: "StatementRow") -> str:
    """Name a statement: `his#412`."""
    return f"{row.source}#{row.sequence}"


def show_cell(text: str | None) -> str:
    """Write a cell's text on one line of a terminal: NULL as such, control characters escaped, long ones cut.

    A text that reads NULL stands in quotes.
    """
    if text is None:
        return "NULL"
    if text.strip('"') == "NULL":
        return f'"{text}"'
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: 2 * MOST_SHOWN])
    return plain if len(plain) <= MOST_SHOWN else plain[: MOST_SHOWN - 1] + "…"


def show_change(before: str | None, after: str | None) -> str:
    """Write `before → after`. Where both would look alike, the parts that differ stand in quotes, with escapes."""
    shown = [show_cell(before), show_cell(after)]
    if before is not None and after is not None and shown[0].strip() == shown[1].strip():
        shorter = min(len(before), len(after))
        differs = next((i for i in range(shorter) if before[i] != after[i]), shorter)
        start = max(0, differs - _SHOWN_BEFORE)
        shown = [_show_part(text, start) for text in (before, after)]
    return " → ".join(shown)


def _show_part(text: str, start: int) -> str:
    part = text[start : start + MOST_SHOWN]
    plain = "".join(f"\\{c}" if c in '\\"' else c if c.isprintable() else ascii(c)[1:-1] for c in part)
    return f'{"…" if start else ""}"{plain}"{"…" if len(text) > start + MOST_SHOWN else ""}'
