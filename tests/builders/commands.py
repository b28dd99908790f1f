# SPDX-License-Identifier: Apache-2.0
"""Dump commands for tests: real programs, written in a line or two of Python, and what became of their processes."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.collectors.command import CommandCollector, CommandSettings
from agent.collectors.command.view import CommandView
from evidence.rows.line import Token, parse_line
from tests.contract.collectors import read_lines
from tests.fakes.blobsink import MemorySink


def command_of(code: str, *words: str) -> tuple[str, ...]:
    """Give the words of a command that runs Python `code`."""
    return (sys.executable, "-I", "-S", "-c", code, *words)


def settings_of(code: str, *words: str, **changes: Any) -> CommandSettings:
    """Give settings of a command that runs `code` and may be silent for some minutes only."""
    facts: dict[str, Any] = {"argv": command_of(code, *words), "name": "his.dmp", "stall_timeout_s": 200.0}
    return CommandSettings(**(facts | {"grace_s": 2.0} | changes))


def collector_of(
    code: str, *words: str, clock: Callable[[], float] = time.monotonic, **changes: Any
) -> CommandCollector:
    """Give a collector of a command that runs `code`."""
    return CommandCollector(settings_of(code, *words, **changes), {}, clock)


def read_dumps(view: CommandView, sink: MemorySink | None = None) -> dict[bytes, Token]:
    """Run the command; give the content of each dump by its name, after a look at the rest of its row."""
    found: dict[bytes, Token] = {}
    for line in read_lines(view, view.tables()[0], sink):
        path, kind, size, mtime, mode, link, content = parse_line(line, view.tables()[0].schema)
        assert isinstance(path, bytes)
        assert isinstance(content, Token)
        assert (kind, size, mtime, mode, link) == (b"dump", b"%d" % content.size, None, None, None)
        found[path] = content
    return found


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(is_so: Callable[[], bool], within_s: float = 60.0) -> bool:
    """Look again and again until it is so; tell whether it came to be. For what other processes do."""
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def pids_in(path: Path) -> list[int]:
    """Give the process numbers that commands have written into a file, as far as their lines are whole."""
    text = path.read_text() if path.exists() else ""
    return [int(line) for line in text.splitlines(keepends=True) if line.endswith(os.linesep)]
