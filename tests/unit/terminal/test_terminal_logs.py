# SPDX-License-Identifier: Apache-2.0
"""One event, one line, whatever its facts hold."""

import logging
import sys
from pathlib import Path

import pytest

from terminal.logs import LineFormatter


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
