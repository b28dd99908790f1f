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


def label(row: "StatementRow") -> str:
    """Name a statement: `his#412`."""
    return f"{row.source}#{row.sequence}"


def show_cell(text: str | None) -> str:
    """Write a cell's text on one line of a terminal: NULL as such, control characters escaped, long ones cut."""
    if text is None:
        return "NULL"
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: 2 * MOST_SHOWN])
    return plain if len(plain) <= MOST_SHOWN else plain[: MOST_SHOWN - 1] + "…"
