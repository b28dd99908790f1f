# SPDX-License-Identifier: Apache-2.0
"""What a dump command gives, behind the protocol of views: one table, `@files`, a row of type `dump` for each dump.

    path = the dump's name · type `dump` · size · mtime, mode, link NULL · content

A dump has no time of its own: when it was made stands in the manifest. So the same dump on another day is the same row,
and a table whose root did not change says that nothing changed. The command runs when the table is read, once for each
reading. Whether a dump is one state only the command knows: `consistency` is the operator's word, and a note says so.
"""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, cast

from agent.collectors.base import BlobSink, Document, Omission, Table, go_on
from agent.collectors.command.forms import HEAD_BYTES, describe_form
from agent.collectors.command.leavings import Left, identify, open_left
from agent.collectors.command.run import Run, describe_end
from agent.collectors.command.settings import CommandSettings, Output
from agent.collectors.files.notes import show
from agent.collectors.files.reading import SCHEMA
from agent.errors import CommandFailedError, SourceChangedError, SourceError
from evidence.manifest.statement import Consistency
from evidence.rows.line import Token, encode_line
from evidence.rows.schema import RAW_TEXT_NOTE
from terminal.language import Text

_BLOCK_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20


class CommandView:
    """One dump. Not thread-safe. Reading again runs the command again."""

    position: str = "-"

    def __init__(self, settings: CommandSettings, environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.consistency: Consistency = settings.consistency
        self.heed: Callable[[], None] = go_on
        self._settings = settings
        self._environ = environ
        self._clock = clock
        self._notes: list[str] = []
        self._words: dict[str, bytes] = {}
        self._made: set[Path] = set()
        self._is_raw = False

    def tables(self) -> Sequence[Table]:
        """Give `@files`; after reading, with a `not-utf-8` note if a name needs it."""
        notes = (RAW_TEXT_NOTE + "path",) if self._is_raw else ()
        return [Table(replace(SCHEMA, notes=notes), ordered=True)]

    def read(self, table: Table, blobs: BlobSink) -> Iterator[bytes]:  # noqa: ARG002 - there is one table
        """Run the command; yield the rows of what it gave.

        Raises: CommandFailedError if it fails or gives nothing; BudgetError at a limit; SourceChangedError if a file
        that it left is still being written; SourceError; what `heed` raises, by which the command is ended.
        """
        self._notes, self._is_raw = [], False
        run = Run(self._settings, self._environ, self._clock, self.heed)
        with run:
            is_stream = self._settings.output is Output.STDOUT
            rows = self._read_stream(run, blobs) if is_stream else self._read_files(run, blobs)
            block: list[bytes] = []
            size = 0
            for row in rows:
                block.append(row)
                size += len(row)
                if size >= _BLOCK_BYTES:
                    yield b"".join(block)
                    block, size = [], 0
        self._keep_words(run)
        if block:
            yield b"".join(block)

    def documents(self) -> Sequence[Document]:
        """Give the end of what the command said, secrets masked: `stderr.txt`, `stdout.txt`; none if it was silent."""
        return [Document(name, words) for name, words in sorted(self._words.items()) if words]

    def omitted(self) -> Sequence[Omission]:
        """Give nothing: a dump that is not there fails the snapshot."""
        return ()

    def notes(self) -> Sequence[str]:
        """Give how the command ended, on whose word the consistency class stands, and which dumps share no bytes."""
        return tuple(self._notes)

    def close(self) -> None:
        """Remove what the command made, if that is wanted."""
        if self._settings.remove:
            for path in self._made:
                with suppress(OSError):
                    path.unlink()

    def _read_stream(self, run: Run, blobs: BlobSink) -> Iterator[bytes]:
        stream = run.stream()
        # A buffered reader has all of BinaryIO but `mode` and `name`, which no sink asks for.
        token = blobs.put(cast(BinaryIO, io.BufferedReader(stream, _READ_BYTES)))
        self._note_end(run.finish())
        name = self._settings.name.encode()
        if not token.size:
            raise self._left_nothing(Text(zh="标准输出是空的", en="its standard output was empty"))
        self._note_form(name, stream.head)
        yield _row(name, token)

    def _read_files(self, run: Run, blobs: BlobSink) -> Iterator[bytes]:
        try:
            code = run.finish()
        finally:
            # Also what a command left that failed: the next one may refuse to write over it.
            left = run.left()
            self._made.update(each.path for each in left)
        self._note_end(code)
        path = self._settings.path
        if not left:
            raise self._left_nothing(Text(zh=f"{path} 没有新文件", en=f"there is no new file at {path}"))
        total = 0
        for each in left:
            token = self._read_file(each, blobs)
            total += token.size
            yield _row(each.name, token)
        if not total:
            raise self._left_nothing(Text(zh=f"{path} 是空的", en=f"what it left at {path} is empty"))

    def _read_file(self, left: Left, blobs: BlobSink) -> Token:
        try:
            descriptor = open_left(left.path)
        except OSError as err:
            raise self._refuse_file(left, err) from err
        with io.BufferedReader(io.FileIO(descriptor), _READ_BYTES) as file:
            try:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise OSError(errno.EINVAL, "it is no file any more")  # noqa: TRY301 - as if opening had refused
                head = file.peek(HEAD_BYTES)
            except OSError as err:
                raise self._refuse_file(left, err) from err
            token = blobs.put(cast(BinaryIO, file))
            after = os.fstat(descriptor)
        if identify(before) != identify(after) or token.size != after.st_size:
            raise SourceChangedError(
                Text(
                    zh=f"{self._settings.program} 已经结束，但 {left.path} 仍在写",
                    en=f"{self._settings.program} has ended, but {left.path} is still being written",
                ),
                hint=Text(
                    zh="让命令等它启动的程序，使它的结束就是转储的结束",
                    en="let the command wait for what it starts, so that its end is the dump's end",
                ),
            )
        self._note_form(left.name, head[:HEAD_BYTES])
        self._is_raw |= not _is_utf8(left.name)
        return token

    def _note_end(self, code: int) -> None:
        program, word = self._settings.program, self._settings.consistency
        self._notes.append(f"{program} {describe_end(code)}")
        self._notes.append(
            f"consistency `{word}` is the word of the settings: what {program} does, the agent cannot see"
        )

    def _note_form(self, name: bytes, head: bytes) -> None:
        form = describe_form(head)
        if form is not None:
            self._notes.append(f"{show(name)} is {form}: it shares no bytes with the dumps of other days")

    def _keep_words(self, run: Run) -> None:
        self._words = dict(run.words)
        for name, words in sorted(self._words.items()):
            if words and run.said(name) > len(words):
                self._notes.append(f"{name} holds the end of {run.said(name)} bytes")

    def _left_nothing(self, what: Text) -> CommandFailedError:
        program = self._settings.program
        return CommandFailedError(
            Text(
                zh=f"{program} 像成功一样结束，却没有留下转储：{what.zh}",
                en=f"{program} ended as if it had succeeded, but {what.en}",
            ),
            hint=Text(
                zh="以采集端的账户手工运行它；失败时要让它以失败结束（sqlcmd 用 -b）",
                en="run it by hand as the agent's account; have it end with a failure when it fails (sqlcmd: -b)",
            ),
        )

    def _refuse_file(self, left: Left, err: OSError) -> SourceError:
        return SourceError(
            Text(
                zh=f"读不了转储 {left.path}：{err.strerror or err}",
                en=f"the dump {left.path} cannot be read: {err.strerror or err}",
            ),
            hint=Text(
                zh="让命令留下采集端的账户能读的文件（组、umask、访问控制列表）",
                en="let the command leave it readable for the agent's account (group, umask, access control list)",
            ),
        )


def _row(name: bytes, token: Token) -> bytes:
    return encode_line([name, b"dump", b"%d" % token.size, None, None, None, token]) + b"\n"


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
