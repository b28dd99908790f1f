# SPDX-License-Identifier: Apache-2.0
"""What people and machines read: tables, times, sizes, JSON, and what a terminal must never be sent."""

import io
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from terminal.errors import OperatorError
from terminal.language import Language, Text
from terminal.printer import Printer, display_width, format_size, format_utc, make_visible
from terminal.progress import SILENT, Measure


def _printer(*, json_mode: bool = False, language: Language = Language.EN) -> tuple[Printer, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return Printer(language, json_mode, out, err), out, err


def test_columns_align_where_characters_are_wide() -> None:
    printer, out, _ = _printer()
    printer.table(["NAME", "ROWS"], [["挂号", 12], ["x", 1234567]])
    assert out.getvalue() == "NAME       ROWS\n挂号         12\nx     1,234,567\n"
    assert {display_width(line) for line in out.getvalue().splitlines()} == {15}


def test_empty_table_is_its_headers() -> None:
    printer, out, _ = _printer()
    printer.table(["NAME", "ROWS"], [])
    assert out.getvalue() == "NAME  ROWS\n"


def test_absent_value_is_a_dash_and_text_is_in_the_readers_language() -> None:
    printer, out, _ = _printer(language=Language.ZH)
    printer.table([Text(zh="名", en="name"), "b"], [[Text(zh="甲", en="A"), None]])
    assert out.getvalue() == "名  b\n甲  -\n"


@pytest.mark.parametrize(
    ("harmful", "shown"),
    [
        ("\x1b[2J", "\\u001b[2J"),
        ("a\rb", "a\\u000db"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("\x9b31m", "\\u009b31m"),
        ("a\x00b\x7f", "a\\u0000b\\u007f"),
        ("\u2028", "\\u2028"),
        ("中文\tok\n", "中文\tok\n"),
    ],
)
def test_characters_that_command_a_terminal_are_shown_as_escapes(harmful: str, shown: str) -> None:
    assert make_visible(harmful) == shown


def test_no_way_of_printing_for_people_lets_an_escape_through() -> None:
    printer, out, err = _printer()
    printer.say("\x1b[31m")
    printer.table(["\x1b[31m"], [["a\x1b[31m\nb"]])
    printer.warn("\x1b[31m")
    printer.complain(OperatorError("\x1b[31m", hint="\x1b[31m"))
    assert "\x1b" not in out.getvalue() + err.getvalue()
    assert out.getvalue().count("\n") == 3, "a line end in a cell would break the table"


def test_json_has_utc_times_and_readable_chinese() -> None:
    printer, out, _ = _printer(json_mode=True)
    beijing = timezone(timedelta(hours=8))
    printer.result(
        {
            "at": datetime(2025, 7, 1, 9, 0, tzinfo=beijing),
            "name": "医院",
            "path": Path("a"),
            "l": Language.ZH,
            "b": b"\x01",
        }
    )
    assert "医院" in out.getvalue()
    assert json.loads(out.getvalue()) == {
        "at": "2025-07-01T01:00:00Z",
        "name": "医院",
        "path": "a",
        "l": "zh",
        "b": "01",
    }


def test_json_cannot_move_the_cursor_and_reads_as_it_was() -> None:
    printer, out, _ = _printer(json_mode=True)
    document = {"name": "\x1b[2J\x9b2J\u202e挂号\x7f"}
    printer.result(document)

    assert make_visible(out.getvalue()) == out.getvalue()
    assert json.loads(out.getvalue()) == document and "挂号" in out.getvalue()


def test_lone_surrogate_in_json_stays_json(tmp_path: Path) -> None:
    code = (
        "from terminal.printer import Printer, set_up_streams\n"
        "from terminal.language import Language\n"
        "set_up_streams(); Printer(Language.EN, True).result({'name': 'a\\udc80b'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {"name": "a\udc80b"}


def test_second_document_is_a_fault_of_the_program() -> None:
    printer, _, _ = _printer(json_mode=True)
    printer.result({})
    with pytest.raises(AssertionError):
        printer.result({})


def test_people_read_local_time_with_its_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert Printer(Language.EN).time(datetime(2025, 7, 1, tzinfo=UTC)) == "2025-07-01 08:00:00+08:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 40, "5.0 TiB"),
        (1 << 60, "1024.0 PiB"),
    ],
)
def test_sizes_are_binary(size: int, shown: str) -> None:
    assert format_size(size) == shown


def test_utc_keeps_microseconds() -> None:
    assert format_utc(datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == "2025-01-02T03:04:05.000678Z"


def test_progress_is_silent_where_nobody_looks() -> None:
    printer, out, err = _printer()
    with printer.progress("reading", 10) as bar:
        bar.advance(3)
        bar.restart("more", None)
    with SILENT.progress("x") as bar:
        bar.advance()
    assert (out.getvalue(), err.getvalue()) == ("", "")


def test_nothing_loads_rich_where_nobody_looks() -> None:
    code = (
        "import sys\nfrom terminal.printer import Printer\nfrom terminal.language import Language\n"
        "with Printer(Language.EN).progress('x', 1) as bar: bar.advance()\n"
        "sys.exit('rich' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal_may_be_nested_and_clear_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = _Screen()
    printer = Printer(Language.EN, False, io.StringIO(), screen)
    for _ in range(2):
        with printer.progress("rows[red]\x1b[31m", 10) as rows, printer.progress("sent", measure=Measure.BYTES) as line:
            rows.advance(4)
            rows.restart("table two", None)
            rows.advance(2048)
            line.advance(2048)
    assert "rows[red]\\u001b[31m" in screen.getvalue(), "markup and escapes in names are shown, not obeyed"
    assert "sent" in screen.getvalue()


def test_bars_are_silent_in_json_mode() -> None:
    screen = _Screen()
    with Printer(Language.EN, True, io.StringIO(), screen).progress("rows", 10) as bar:
        bar.advance(1)
    assert screen.getvalue() == ""
