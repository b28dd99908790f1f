# SPDX-License-Identifier: Apache-2.0
"""What there is to say about a database so that it can be read over ODBC: a dialect is data, in `dialects`. Pure.

The catalog queries of a dialect give rows of text in these columns:

    tables    schema, table, estimated rows, obstacle (why it cannot be read, or NULL), address (an expression that finds a
              row again, or NULL), `1` if the rows belong to the transaction's state, fingerprint (of its storage, or NULL),
              what stands before its name behind FROM (or NULL)
    columns   schema, table, column, type (a key of `casts`), declared (the type as a person wrote it), most bytes of a value
              (NULL: no limit), scale, `1` if it can be NULL, `1` if it is generated, comment; in the order of the columns
    keys      schema, table, column; in the order of the primary key

What a query has to give behind these, so that it can order by it, is not looked at.

In SQL, `{c}` is the quoted column behind `t.`, for tables are read as `t` (a bare name behind ORDER BY could mean the text
that is selected); `{start}` counts from 1; `{t}` is the quoted table, `{t'}` a literal of that, `{s'}` and `{n'}` are
literals of its schema's and its own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from evidence.manifest.statement import Consistency
from evidence.rows.values import Kind
from terminal.language import Text


class Form(Enum):
    """How the text of a cell spells its value."""

    PLAIN = "as it is, or nearly: `cells` knows what differs by kind"
    HEX = "the bytes of the value, or of its text in UTF-8, in hexadecimal"
    HEX_UTF16 = "the text in UTF-16, little-endian, in hexadecimal"
    IEEE = "a float's bytes, big-endian, in hexadecimal"
    SINGLE = "a float of single precision, as the double that equals it"
    SQLITE = "SQLite's storage class, then the value: i: r: plain, t: b: hexadecimal"


class Literal(Enum):
    """How a text is written in SQL."""

    QUOTED = "'…', quotes doubled"
    NATIONAL = "N'…', quotes doubled"


@dataclass(frozen=True, slots=True)
class Long:
    """How to deal with values that may be large: how long one is, and a part of one, in the same units.

    A unit is a byte of a binary value, at least a byte of a text: a value over 65,536 units is over 65,536 bytes.
    `most`: so many units come whole by the cast, or in one part; None: any number.
    """

    length: str
    part: str
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Cast:
    """How a column of some type is read: as what kind, by what SQL (text!), in which form; `long` if it may be large."""

    kind: Kind
    sql: str
    form: Form = Form.PLAIN
    long: Long | None = None
    is_padded: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a database must be like: the first cell that `query` gives is one of `values`, or it is refused.

    `instead`: the class of consistency that there is without it, and the statements that begin that.
    """

    query: str
    values: frozenset[str]
    message: Text
    hint: Text
    instead: tuple[Consistency, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """A database as it is read over ODBC.

    `seen`: against which server and driver it has been run, or None: against none yet.
    `driver`: words in the name of a driver that fits. `needs`: what must be installed.
    `options`: of the connection string, unless a person set them. `must`: what that must have in it, and how to write it.
    `session`: statements for each session; `{lock_ms}` and `{lock_s}` are the limit of waiting for a lock.
    `begins`: statements that begin the state that is read; `begins_itself`: they are whole, else the driver begins a
    transaction with the first statement after them, and `first` are the first in it. `consistency`: what that state is.
    `position`: a word and a query, whose cells joined by `:` are the position.
    `page`: a page of rows with `{what}`, `{t}`, `{where}`, `{order}`, `{rows}`; empty: there are no pages.
    `locates`: kinds of keys whose values can be written in SQL so that the server finds the row again, and goes on behind
    it in the order in which it sorts them.
    `address_kind`: what an address in the catalog's tables gives.
    `around`: statements before and after each table, so that its lock is given back.
    `fingerprint`: a query for a table's storage as it is now, to compare with what the catalog said.
    `waiting`: a query for how many wait for the session `{session}`, which is what `session_id` gave.
    `keeps_locks`: of tables that were read, until the end of the state, whatever stands in `around`.
    `grants`: lines as `in_both` takes them, with `{user}` and `{account}`.
    `ddl`: a query for a table's definition, in its last column; `ddl_whole`: one for the whole database's.
    """

    name: str
    title: Text
    driver: str
    seen: str | None
    needs: Text
    casts: Mapping[str, Cast]
    other: Cast
    consistency: Consistency
    tables: str | None = None
    columns: str | None = None
    keys: str | None = None
    quotes: tuple[str, str] = ('"', '"')
    options: tuple[tuple[str, str], ...] = ()
    must: tuple[str, Text] | None = None
    session: tuple[str, ...] = ()
    begins: tuple[str, ...] = ()
    begins_itself: bool = False
    first: tuple[str, ...] = ()
    position: tuple[str, str] | None = None
    requirements: tuple[Requirement, ...] = ()
    page: str = "SELECT {what} FROM {t} t{where} ORDER BY {order} LIMIT {rows}"
    literal: Literal = Literal.QUOTED
    locates: frozenset[Kind] = frozenset({Kind.INT})
    address_kind: Kind = Kind.INT
    around: tuple[str, str] | None = None
    fingerprint: str | None = None
    session_id: str | None = None
    waiting: str | None = None
    keeps_locks: bool = False
    ddl: str | None = None
    ddl_whole: str | None = None
    notes: tuple[str, ...] = ()
    grants: str = ""

    def quote(self, identifier: str) -> str:
        """Quote an identifier for SQL."""
        begin, end = self.quotes
        return begin + identifier.replace(end, end + end) + end

    def write_text(self, text: str) -> str:
        """Write a text for SQL."""
        prefix = "N" if self.literal is Literal.NATIONAL else ""
        return prefix + "'" + text.replace("'", "''") + "'"

    def cast_of(self, type_name: str) -> Cast:
        """Give how a column of a type is read."""
        return self.casts.get(type_name.lower(), self.other)


def fill(template: str, **parts: str) -> str:
    """Put parts into SQL that may have braces of its own, all at once: what a part holds is not looked at again."""
    out: list[str] = []
    rest = template
    while rest:
        at, name = min(
            ((place, name) for name in parts if (place := rest.find("{" + name + "}")) >= 0), default=(len(rest), "")
        )
        out.append(rest[:at])
        if name:
            out.append(parts[name])
        rest = rest[at + len(name) + 2 :] if name else ""
    return "".join(out)
