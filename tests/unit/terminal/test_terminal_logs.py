# SPDX-License-Identifier: Apache-2.0
"""One event, one line, whatever its facts hold."""

import io
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from terminal.log_settings import LogSettings
from terminal.logs import LineFormatter, set_up_logging


def _line(message: str, **facts: object) -> str:
    record = logging.makeLogRecord(
        {"name": "agent.x", "levelname": "INFO", "levelno": 20, "msg": message, "created": 1751335384.5, **facts}
    )
    return LineFormatter().format(record)


def test_event_has_time_words_and_facts() -> None:
    assert _line("spool sent", source="his", rows=3, path=Path("a b")) == (
        '2025-07-01T02:03:04.500Z INFO agent.x spool sent source=his rows=3 path="a b"'
    )


@pytest.mark.parametrize("nasty", ["a\nb", "a\r\nINFO forged", "\x1b[2J", 'q"q', "a=b", "", "\u2028x"])
def test_no_fact_can_begin_another_line_or_another_fact(nasty: str) -> None:
    line = _line("event", fact=nasty, last=1)
    assert line.isprintable()
    assert line.endswith(" last=1")


def test_message_from_outside_stays_on_its_line() -> None:
    assert _line("bad\nINFO forged").isprintable()


def test_trace_is_one_fact() -> None:
    try:
        int("a\nb")
    except ValueError:
        line = _line("died", exc_info=sys.exc_info())
    assert line.isprintable()
    assert "ValueError" in line


def test_json_lines_are_one_object_each_whatever_their_facts_hold() -> None:
    stream = io.StringIO()
    set_up_logging(stream, LogSettings(format="json"))
    try:
        logging.getLogger("agent.test").info(
            "a\nb", extra={"source": "x\ny", "at": 1, "when": datetime(2025, 7, 1, tzinfo=UTC)}
        )
        (line,) = stream.getvalue().splitlines()
    finally:
        set_up_logging(io.StringIO())
    document = json.loads(line)
    assert (document["event"], document["source"], document["at_"]) == ("a\nb", "x\ny", 1)
    assert document["when"] == "2025-07-01T00:00:00+00:00"


def test_file_of_a_log_is_put_aside_when_it_is_full_and_only_so_many_stay(tmp_path: Path) -> None:
    set_up_logging(io.StringIO(), LogSettings(file=Path("logs/agent.log"), max_size=64 << 10, keep=2), tmp_path)
    try:
        for i in range(2000):
            logging.getLogger("agent.test").info("an event", extra={"number": i, "filling": "x" * 100})
    finally:
        set_up_logging(io.StringIO())
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["agent.log", "agent.log.1", "agent.log.2"]
    assert "number=1999" in (tmp_path / "logs" / "agent.log").read_text()
    assert all(path.stat().st_size <= 64 << 10 for path in (tmp_path / "logs").iterdir())
