# SPDX-License-Identifier: Apache-2.0
"""Ask a person for a line that should not stand in a command line: unseen at a terminal, else the first of stdin."""

import getpass
import sys

from terminal.errors import UsageError
from terminal.language import Text
from terminal.printer import Printer

MAX_LINE = 1 << 16


def read_line(out: Printer, prompt: Text) -> str:
    """Give the line without its end. Raises: UsageError if there is none."""
    if sys.stdin.isatty():
        line = getpass.getpass(out.words(prompt))
    else:
        # PowerShell puts a byte order mark before what it pipes.
        line = sys.stdin.readline(MAX_LINE).removeprefix("\ufeff").rstrip("\r\n")
    if not line:
        raise UsageError(
            Text(zh="没有读到内容", en="nothing was entered"),
            hint=Text(zh="在终端输入，或经标准输入给出一行", en="type it at the terminal, or give one line on stdin"),
        )
    return line
