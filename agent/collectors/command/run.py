# SPDX-License-Identifier: Apache-2.0
"""One run of a dump command: started, read in bounded memory, ended in any case, judged by its exit status.

    start → read its dump, or wait → exit status → files it left → end what still runs

A dump counts only once the command has ended with a status that the settings take for success: until then bytes may be
in the spool, but no statement names them. Not thread-safe.
"""

import io
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

from agent.collectors.base import go_on
from agent.collectors.command.child import Child, refuse_start, start_child
from agent.collectors.command.environment import Mask, child_environment
from agent.collectors.command.forms import HEAD_BYTES
from agent.collectors.command.leavings import Left, find_files, find_left
from agent.collectors.command.patience import Patience
from agent.collectors.command.settings import CommandSettings, Output
from agent.collectors.command.streams import Feed, Tail, last_words
from agent.errors import CommandFailedError
from terminal.language import Text

_LOOK_S: Final = 0.5


def find_program(settings: CommandSettings, environment: Mapping[str, str]) -> str:
    """Give the path of the program, as the command's own PATH leads to it. Raises: SourceError."""
    word = settings.argv[0]
    if not Path(word).is_absolute() and Path(word).name != word:
        raise refuse_start(
            word, Text(zh="它既不是单独的名称，也不是绝对路径", en="it is neither a plain name nor an absolute path")
        )
    found = shutil.which(word, path=environment["PATH"])
    if found is None:
        raise refuse_start(
            word, Text(zh="没有这个程序，或不准运行", en="there is no such program, or it may not be run")
        )
    return found


class Run:
    """A command at work. A context manager: whatever happens, nothing of it runs after the block."""

    def __init__(
        self, settings: CommandSettings, environ: Mapping[str, str], clock: Callable[[], float],
        heed: Callable[[], None] = go_on,
    ) -> None:  # fmt: skip
        """Start the command; `heed` is asked about once a second while it is waited for.

        Raises: SourceError if it cannot be started or its folder of dumps cannot be read.
        """
        self._settings = settings
        self._heed = heed
        environment = child_environment(environ, settings.env, os.defpath)
        program = find_program(settings, environment)
        self._before = find_files(settings) if settings.output is Output.FILE else {}
        self.words: dict[str, bytes] = {}
        """What the command said, by document; complete after the block."""
        self._child: Child = start_child([program, *settings.argv[1:]], environment, settings.cwd, settings.grace_s)
        mask = Mask(settings.secrets)
        self._feed = Feed(self._child.stdout) if settings.output is Output.STDOUT else None
        self._tails = {"stderr.txt": Tail(self._child.stderr, mask)}
        if self._feed is None:
            self._tails["stdout.txt"] = Tail(self._child.stdout, mask)
        self._patience = Patience(settings.program, settings.timeout_s, settings.stall_timeout_s, clock)

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def stream(self) -> "DumpStream":
        """Give the dump as it comes out of the command."""
        assert self._feed is not None
        return DumpStream(self._feed, self._patience, self._look)

    def finish(self) -> int:
        """Wait until the command has ended; give its exit status.

        Raises: CommandFailedError for a status that is not a success; BudgetError at a limit.
        """
        self._patience.rest()
        while (code := self._child.wait(_LOOK_S)) is None:
            self._look()
        if code not in self._settings.exit_codes:
            self._end()
            raise self._failure(code)
        return code

    def left(self) -> list[Left]:
        """Give the files that the command has left."""
        return find_left(self._settings, self._before)

    def said(self, name: str) -> int:
        """Give how many bytes the command wrote of what the document `name` holds the end of."""
        return self._tails[name].total

    def _end(self) -> None:
        self._child.stop()
        if self._feed is not None:
            self._feed.close()
        for name, tail in self._tails.items():
            tail.close()
            self.words[name] = tail.text()

    def _look(self) -> None:
        self._heed()
        self._patience.look(self._signs())

    def _signs(self) -> object:
        """Give what changes while the command lives: bytes said, files grown."""
        files = tuple(sorted(find_files(self._settings).items())) if self._settings.output is Output.FILE else ()
        return files, *(tail.total for tail in self._tails.values())

    def _failure(self, code: int) -> CommandFailedError:
        program = self._settings.program
        end = f"被信号 {-code} 终止" if code < 0 else f"以退出码 {code} 结束"
        said = next((w for w in map(last_words, self.words.values()) if w), None)
        return CommandFailedError(
            Text(zh=f"{program} {end}", en=f"{program} {describe_end(code)}"),
            hint=Text(zh=f"它最后说：{said}", en=f"it said: {said}")
            if said
            else Text(
                zh="它什么也没说；以采集端的账户手工运行它",
                en="it said nothing; run it by hand as the agent's account",
            ),
        )


class DumpStream(io.RawIOBase):
    """The standard output of a command. Keeps its first bytes in `head` and counts `size`."""

    def __init__(self, feed: Feed, patience: Patience, look: Callable[[], None]) -> None:
        super().__init__()
        self._feed = feed
        self._patience = patience
        self._look = look
        self._rest = memoryview(b"")
        self._is_over = False
        self.head = b""
        self.size = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # narrower than Buffer
        """Read what there is, waiting for the first byte. Raises: BudgetError at a limit."""
        if not self._rest and not self._is_over:
            self._rest = memoryview(self._next())
            self._is_over = not self._rest
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        self._patience.rest()
        while (part := self._feed.take(_LOOK_S)) is None:
            self._look()
        self._patience.check_whole()
        if len(self.head) < HEAD_BYTES:
            self.head += part[: HEAD_BYTES - len(self.head)]
        self.size += len(part)
        return part


def describe_end(code: int) -> str:
    """Say how a command ended: `ended with exit status 3`, `was ended by signal 9 (SIGKILL)`."""
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    return f"was ended by signal {-code}{name}"
