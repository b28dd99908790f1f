# SPDX-License-Identifier: Apache-2.0
"""What a target of a restore promises. No target is named here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from center.restore.rows import TableRows
from evidence.rows.schema import Column
from terminal.language import Text

_MOST_NAMED: Final = 5
Advance = Callable[[int], None]
"""Called with the number of rows that were handled since the last call."""


def one_line(err: Exception) -> str:
    """Give the words of a target's error on one line."""
    return " ".join(str(err).split()) or type(err).__name__


def note_names(columns: Iterable[Column], names: Iterable[str]) -> list[Text]:
    """Note which columns have another name in the copy."""
    return [
        Text(zh=f"列 {column.name!r} 在此名为 {name!r}", en=f"column {column.name!r} is named {name!r}")
        for column, name in zip(columns, names, strict=True)
        if column.name != name
    ]


def note_binary(name: str, type_: str, why: Text | None) -> Text:
    """Note that a column holds bytes, and why; None: it is the content of files."""
    why = why or Text(zh="文件的内容是字节", en="the content of files is bytes")
    return Text(zh=f"列 {name!r} 为 {type_}：{why.zh}", en=f"column {name!r} is {type_}: {why.en}")


def note_classes(name: str) -> Text:
    """Note that a column holds values of several of SQLite's classes."""
    return Text(
        zh=f"列 {name!r} 为文本，值前有类别标记：SQLite 的值有多种类别",
        en=f"column {name!r} is text with a prefix for the class of each value: SQLite's values are of several",
    )


def note_program(title: str) -> Text:
    """Note that a part of the DDL was left out because it is a program."""
    return Text(zh=f"没有执行，因为它是程序：{title}", en=f"not run, for it is a program: {title}")


def note_refused(title: str, err: Exception) -> Text:
    """Note that the server refused a part of the DDL."""
    return Text(zh=f"被拒绝：{title}：{one_line(err)}", en=f"refused: {title}: {one_line(err)}")


def note_unseen(names: Sequence[str]) -> list[Text]:
    """Note which sequences begin anew in the copy, for their positions are not in the snapshot; none: no note."""
    if not names:
        return []
    some = ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")
    return [
        Text(
            zh=f"{len(names)} 个序列从头开始，采集账户看不到它们的当前值：{some}",
            en=f"{len(names)} sequence(s) begin anew, for the agent's account could not see where they stood: {some}",
        )
    ]


def table_named(name: str) -> Text:
    """Say that a place is a table."""
    return Text(zh=f"表 {name}", en=f"table {name}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a table was put. `notes`: what differs from the original, one line each; they may explain another root."""

    where: Text
    notes: tuple[Text, ...] = ()


class Target(Protocol):
    """A place into which tables are restored. Not thread-safe; close it in any case.

    Order of calls: `find_content`, then `load` for each table, `save_document` for each document, `finish`, then
    `read_back`. Nothing that `load` did is durable before `finish`; after it everything is. Without `finish`, `close`
    leaves a database as it was.
    """

    description: str
    """How people name the place; without passwords."""

    def find_content(self) -> Text | None:
        """Give a few words on what is there already; None if the target is empty."""

    def load(self, rows: TableRows, advance: Advance) -> Placement:
        """Make the table, with its key, and put all rows into it; an older table of the name is replaced.

        Raises: TargetError for what the target refuses; the table is then not there.
        """

    def save_document(self, name: str, body: bytes) -> str | None:
        """Keep a document beside the tables; give the place, or None if the target has none for documents."""

    def finish(self) -> tuple[Text, ...]:
        """Make everything durable; give notes on the whole, one line each."""

    def read_back(self, rows: TableRows) -> Iterator[bytes]:
        """Yield the lines of the copy of `rows`, read from the target, in any order (best: the canonical one).

        Lines are in the original's schema. Nothing is taken from the snapshot but what no copy can hold: which columns
        the source had no values for.
        """

    def close(self) -> None:
        """Let go of the target."""


@runtime_checkable
class ShapedTarget(Protocol):
    """A target that can be given the source's own shapes, if it is the same product."""

    def prepare(self, rows: TableRows, ddl: bytes, *, with_programs: bool) -> tuple[Text, ...]:
        """Take the source's DDL; call it after `find_content` and before the first `load`. `rows`: any table of it.

        Tables are then made as the DDL says; `finish` makes what comes after the rows. Gives notes, one line each.
        Raises: TargetError if the source is another product.
        """
