# SPDX-License-Identifier: Apache-2.0
"""Why a snapshot leaves a table out, or for later, in the words of all servers. Knows no driver; no I/O."""

from agent.errors import TableBusyError, TableLostError
from terminal.language import Text


def lose_because(table: str, reason: str, detail: str = "") -> TableLostError:
    """Give the error that leaves `table` out because of `reason`."""
    full = f"{reason} ({detail})" if detail else reason
    return TableLostError(
        Text(zh=f"表 {table} 读不了：{full}", en=f"table {table} cannot be read: {full}"),
        hint=Text(
            zh="运行 `jinsuo-agent check` 和 `jinsuo-agent grants`",
            en="run `jinsuo-agent check` and `jinsuo-agent grants`",
        ),
        reason=full,
    )


def busy_because(table: str, reason: str) -> TableBusyError:
    """Give the error that leaves `table` for later because of `reason`."""
    return TableBusyError(
        Text(zh=f"表 {table} 现在读不了：{reason}", en=f"table {table} cannot be read now: {reason}"),
        hint=Text(
            zh="在没有人改表或锁表的时候取快照", en="run the snapshot at an hour when nobody alters or locks the table"
        ),
        reason=reason,
    )
