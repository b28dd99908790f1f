# SPDX-License-Identifier: Apache-2.0
"""Oracle: the SQL that is made, and rows as the manuals print them. Not yet run against a live server: none is here."""

import re

import pytest

from agent.collectors.odbc.cells import CellError
from agent.collectors.oracle import OracleSettings
from agent.collectors.oracle.catalog import COLUMNS, OLD_COLUMNS, read_tables
from agent.collectors.oracle.checks import write_grants
from agent.collectors.oracle.connect import PINNED, OracleError
from agent.collectors.oracle.failures import lose, refuse_connection
from agent.collectors.oracle.mapping import SourceColumn, Value, read_as
from agent.collectors.oracle.reading import TableReading, read_bytes, read_text
from agent.collectors.oracle.tables import OfferedTable, offer_table
from agent.collectors.oracle.view import ddl_query, find_scn
from agent.errors import AgentError, BudgetError, LoginError, SourceDownError, SourceError, TableLostError
from evidence.rows.line import Token, parse_line
from evidence.rows.values import Kind, check_value
from tests.fakes.recorded import RecordedSession
from tests.servers.reading import KeptBlobs

SETTINGS = OracleSettings("db", "ORCLPDB1", "jinsuo", "hunter2")


class FakeLob:
    """A LOB as python-oracledb gives it: sizes and offsets in UTF-16 units or bytes. `halves`: how it gives half a pair."""

    def __init__(self, value: str | bytes, halves: str = "raise") -> None:
        self._raw = value if isinstance(value, bytes) else value.encode("utf-16-be")
        self._is_text = isinstance(value, str)
        self._halves = halves
        self.reads: list[tuple[int, int | None]] = []

    def size(self) -> int:
        return len(self._raw) // 2 if self._is_text else len(self._raw)

    def read(self, offset: int = 1, amount: int | None = None) -> str | bytes:
        self.reads.append((offset, amount))
        assert offset >= 1
        end = None if amount is None else offset - 1 + amount
        if not self._is_text:
            return self._raw[offset - 1 : end]
        part = self._raw[2 * (offset - 1) : None if end is None else 2 * end]
        return part.decode("utf-16-be") if self._halves == "raise" else part.decode("utf-16-be", "replace")


def _column(type_name: str, **changes: object) -> SourceColumn:
    facts: dict[str, object] = {"declared": type_name, "bytes_": 22, "precision": None, "scale": None} | changes
    return SourceColumn("C", type_name, is_null=True, is_generated=False, **facts)  # type: ignore[arg-type]  # of the test


@pytest.mark.parametrize(
    ("type_name", "precision", "scale", "value", "kind", "canonical"),
    [
        ("NUMBER", 9, 0, "-5", Kind.INT, b"-5"),
        ("NUMBER", None, 0, "12345678901234567890123456789012345678", Kind.INT, b"12345678901234567890123456789012345678"),
        ("NUMBER", 9, 2, "-.5", Kind.DECIMAL, b"-0.50"),
        ("NUMBER", None, None, "1E+40", Kind.DECIMAL, b"1" + b"0" * 40),
        ("NUMBER", None, None, ".1", Kind.DECIMAL, b"0.1"),
        ("NUMBER", 5, -2, "12300", Kind.DECIMAL, b"12300"),
        ("FLOAT", 126, None, ".333", Kind.DECIMAL, b"0.333"),
        ("BINARY_DOUBLE", None, None, 1e23, Kind.FLOAT8, b"9.999999999999999e+22"),
        ("BINARY_FLOAT", None, None, 0.10000000149011612, Kind.FLOAT4, b"0.1"),
        ("VARCHAR2", None, None, "住院\t😀", Kind.TEXT, "住院\t😀".encode()),
        ("VARCHAR2", None, None, "gbk \udcb2\udcc4", Kind.TEXT, b"gbk \xb2\xc4"),
        ("NCHAR", None, None, "x  ", Kind.TEXT, b"x  "),
        ("DATE", None, None, " 2026-02-28 00:00:00", Kind.TIMESTAMP, b"2026-02-28 00:00:00"),
        ("DATE", None, None, "-0044-03-15 12:00:00", Kind.TIMESTAMP, b"0044-03-15 12:00:00 BC"),
        ("TIMESTAMP(6)", None, None, " 2026-01-02 03:04:05.120000000", Kind.TIMESTAMP, b"2026-01-02 03:04:05.12"),
        ("TIMESTAMP(6) WITH TIME ZONE", None, None, " 2026-01-02 03:04:05.000000000 +08:00", Kind.TIMESTAMPOFFSET,
         b"2026-01-02 03:04:05+08:00"),
        ("TIMESTAMP(6) WITH LOCAL TIME ZONE", None, None, " 2026-01-02 03:04:05.500000000", Kind.TIMESTAMPTZ, b"2026-01-02 03:04:05.5+00"),
        ("INTERVAL DAY(2) TO SECOND(6)", None, None, "+02 03:04:05.000000", Kind.INTERVAL, b"+02 03:04:05.000000"),
        ("INTERVAL YEAR(2) TO MONTH", None, None, "-01-06", Kind.INTERVAL, b"-01-06"),
        ("RAW", None, None, "00FF", Kind.BYTES, b"\\x00ff"),
        ("LONG", None, None, "old", Kind.TEXT, b"old"),
        ("LONG RAW", None, None, b"\0\xff", Kind.BYTES, b"\\x00ff"),
        ("BOOLEAN", None, None, "t", Kind.BOOL, b"t"),
        ("ROWID", None, None, "AAASdqAAEAAAAInAAA", Kind.OTHER, b"AAASdqAAEAAAAInAAA"),
    ],
)  # fmt: skip
def test_value_of_a_type_becomes_its_canonical_form(
    type_name: str, precision: int | None, scale: int | None, value: Value, kind: Kind, canonical: bytes
) -> None:
    reading = read_as(_column(type_name, precision=precision, scale=scale), "t.C")
    assert reading.kind is kind
    assert reading.convert(value) == canonical
    check_value(kind, reading.scale, canonical, raw_text=True)
    assert "t.C" in reading.sql


@pytest.mark.parametrize(
    ("type_name", "value"), [("NUMBER", 5.0), ("BINARY_DOUBLE", "5"), ("RAW", b"\0"), ("LONG RAW", "00")]
)
def test_value_of_another_driver_type_is_refused(type_name: str, value: Value) -> None:
    with pytest.raises(CellError):
        read_as(_column(type_name), "t.C").convert(value)


def _session(rows: list[list[object]]) -> RecordedSession:
    def column(
        name: str, kind: str, length: str, precision: str | None, scale: str | None, nullable: str
    ) -> list[str | None]:
        return ["HIS", "VISIT", name, kind, length, precision, scale, nullable, "NO", None, "0", None]

    return RecordedSession(
        [
            ("ALL_EXTERNAL_TABLES", [["HIS", "VISIT", "2", None]]),
            ("FROM ALL_TAB_COLS", [
                column("ID", "NUMBER", "22", "9", "0", "N"), column("NAME", "VARCHAR2", "60", None, None, "Y"),
                column("DOC", "CLOB", "4000", None, None, "Y"), column("SCAN", "BLOB", "4000", None, None, "Y"),
            ]),
            ("FROM ALL_CONSTRAINTS", [["HIS", "VISIT", "ID"]]),
            ('FROM "HIS"."VISIT"', rows),
        ]
    )  # fmt: skip


def _offered(session: RecordedSession) -> OfferedTable:
    (table,) = read_tables(session)
    offered = offer_table(table, SETTINGS)
    assert isinstance(offered, OfferedTable)
    return offered


def test_every_row_is_read_as_of_the_system_change_number_and_ordered_by_integers_alone() -> None:
    offered = _offered(_session([]))
    assert offered.query("4711") == (
        "SELECT TO_CHAR(t.\"ID\", 'TM9', 'NLS_NUMERIC_CHARACTERS=''.,''') AS C0, t.\"NAME\" AS C1, t.\"DOC\" AS C2, "
        "t.\"SCAN\" AS C3, CASE WHEN DBMS_LOB.GETLENGTH(t.\"DOC\") <= 1000 THEN TO_CHAR(t.\"DOC\") END AS C4, "
        "CASE WHEN DBMS_LOB.GETLENGTH(t.\"SCAN\") <= 2000 THEN RAWTOHEX(DBMS_LOB.SUBSTR(t.\"SCAN\", 2000, 1)) END AS C5 "
        "FROM \"HIS\".\"VISIT\" AS OF SCN 4711 t ORDER BY t.\"ID\""
    )  # fmt: skip
    with pytest.raises(ValueError, match="invalid literal"):
        offered.query("1; DROP")


def test_lobs_come_short_with_their_row_or_by_their_locator_in_pieces() -> None:
    long_text, middle, scan = "医😀" * 400_000, "é" * 5000, bytes(range(256)) * 8000
    rows: list[list[object]] = [
        ["1", "张三", FakeLob("short"), FakeLob(b"\0\xff"), "short", "00FF"],
        ["2", None, FakeLob(long_text), FakeLob(scan), None, None],
        ["3", None, FakeLob(""), FakeLob(b""), None, None],
        ["4", None, None, None, None, None],
        ["5", None, FakeLob(middle), FakeLob(scan[:3000]), None, None],
    ]
    session = _session(rows)
    offered, blobs = _offered(session), KeptBlobs()
    reading = TableReading(session, offered, "4711", blobs, lambda: None)
    lines = b"".join(reading.blocks()).split(b"\n")[:-1]
    cells = [parse_line(line, offered.schema) for line in lines]
    assert cells[0] == [b"1", "张三".encode(), b"short", b"\\x00ff"]
    text, image = cells[1][2:]
    assert isinstance(text, Token)
    assert isinstance(image, Token)
    assert blobs.items[text.sha256] == long_text.encode()
    assert blobs.items[image.sha256] == scan
    assert cells[2] == [b"3", None, b"", b"\\x"], "an empty LOB is not NULL"
    assert cells[3] == [b"4", None, None, None]
    assert cells[4] == [b"5", None, middle.encode(), b"\\x" + scan[:3000].hex().encode()]
    assert not reading.raw_columns


@pytest.mark.parametrize("halves", ["raise", "replace"])
@pytest.mark.parametrize(
    "text", ["x" + "😀" * 600_000, "?" * 1_200_000, "😀" * 600_000, "x" * 524_287 + "?" + "😀" * 9, "", "y"]
)
def test_pieces_of_a_text_never_split_a_character(text: str, halves: str) -> None:
    lob = FakeLob(text, halves)
    assert b"".join(read_text(lob, lob.size())) == text.encode()
    assert all(amount is not None and amount <= 512 << 10 for _, amount in lob.reads)


def test_piece_that_a_driver_cuts_short_costs_the_table() -> None:
    class Short(FakeLob):
        def read(self, offset: int = 1, amount: int | None = None) -> str | bytes:
            return super().read(offset, None if amount is None else max(1, amount - 7))

    with pytest.raises(CellError, match="a piece of"):
        list(read_bytes(Short(b"z" * 1000), 1000))
    with pytest.raises(CellError, match="a piece of"):
        list(read_text(Short("z" * 1000), 1000))


def test_bytes_that_are_not_utf8_are_kept_and_noted() -> None:
    session = _session([["1", "gbk \udcb2\udcc4", None, None, None, None]])
    reading = TableReading(session, _offered(session), "1", KeptBlobs(), lambda: None)
    assert b"".join(reading.blocks()) == b"1\tgbk \xb2\xc4\n"
    assert reading.raw_columns == {"NAME"}


def test_old_dictionary_is_asked_without_what_it_has_not() -> None:
    session = _session([])
    session.version = (11, 2)
    read_tables(session)
    assert OLD_COLUMNS in session.asked
    assert COLUMNS not in session.asked
    assert "USER_GENERATED" not in OLD_COLUMNS


def test_system_change_number_is_asked_of_whoever_may_tell() -> None:
    denied = OracleError("ORA-00942: table or view does not exist")
    session = RecordedSession([("V\\$DATABASE", denied), ("DBMS_FLASHBACK", [["4711"]])])
    assert find_scn(session, SETTINGS) == "4711"  # type: ignore[arg-type]  # a recorded session
    nobody = RecordedSession([("SELECT", denied)])
    with pytest.raises(SourceError, match="may not see the system change number"):
        find_scn(nobody, SETTINGS)  # type: ignore[arg-type]  # a recorded session


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("ORA-01555: snapshot too old: rollback segment number 9", BudgetError, "UNDO_RETENTION"),
        ("ORA-08181: specified number is not a valid system change number", BudgetError, "UNDO_RETENTION"),
        ("ORA-01466: unable to read data - table definition has changed", TableLostError, "grants"),
        ("ORA-00942: table or view does not exist", TableLostError, "grants"),
        ("ORA-03113: end-of-file on communication channel", SourceDownError, "later"),
        ("DPY-4024: call timeout of 1800000 ms exceeded", SourceDownError, "later"),
        ("ORA-99999: something new", TableLostError, "check"),
    ],
)
def test_error_while_reading_says_what_to_do(said: str, kind: type[AgentError], hint: str) -> None:
    meaning = lose(said, SETTINGS, "HIS.VISIT")
    assert type(meaning) is kind
    assert hint in str(meaning.hint)


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("ORA-01017: invalid username/password; logon denied (hunter2)", LoginError, "password"),
        ("DPY-3010: connections to this database server version are not supported", SourceError, "Instant Client"),
        ("DPI-1047: Cannot locate a 64-bit Oracle Client library", SourceError, "client"),
        ("DPY-6005: cannot connect to database", SourceDownError, "listener"),
        ("ORA-12514: TNS:listener does not currently know of service", SourceDownError, "service"),
    ],
)
def test_refused_connection_says_what_to_do_and_never_the_password(
    said: str, kind: type[AgentError], hint: str
) -> None:
    meaning = refuse_connection(said, SETTINGS)
    assert type(meaning) is kind
    assert hint in str(meaning.hint)
    assert "hunter2" not in str(meaning) + repr(SETTINGS)


def test_only_settings_of_the_session_are_altered_and_quotes_are_doubled() -> None:
    assert all(re.match(r"ALTER SESSION SET ", statement) for statement in PINNED)
    (table,) = read_tables(_session([]))
    assert ddl_query(table) == "SELECT DBMS_METADATA.GET_DDL('TABLE', 'VISIT', 'HIS') FROM DUAL"


def test_grants_allow_reading_as_of_a_number_and_nothing_else() -> None:
    words = write_grants(SETTINGS).en
    assert 'GRANT FLASHBACK ANY TABLE TO "JINSUO";' in words
    assert "V_$DATABASE" in words
    assert not re.search(r"\b(DBA|INSERT|UPDATE|DELETE|ALTER|DROP)\b", words)


def test_server_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    from agent.collectors.oracle import OracleCollector

    settings = OracleSettings("127.0.0.1", "gone", "u", "p", port=1, connect_timeout_s=2)
    with pytest.raises(SourceDownError, match="does not answer"), OracleCollector(settings).open_view():
        pass
    (finding,) = OracleCollector(settings).check()
    assert finding.hint
