# SPDX-License-Identifier: Apache-2.0
"""Why a snapshot leaves a table out, or for later, in the words of all servers. Knows no driver; no I/O."""

from agent.errors import TableBusyError, TableLostError


def lose_because(table: str, reason: str, detail: str = "") -> TableLostError:
    """Give the error that leaves `table` out because of `reason`."""
    full = f"{reason} ({detail})" if detail else reason
    return TableLostError(
        f"table {table} cannot be read: {full}", hint="run `jinsuo-agent check` and `jinsuo-agent grants`", reason=full
    )


def busy_because(table: str, reason: str) -> TableBusyError:
    """Give the error that leaves `table` for later because of `reason`."""
    return TableBusyError(
        f"table {table} cannot be read now: {reason}",
        hint="run the snapshot at an hour when nobody alters or locks the table",
        reason=reason,
    )
