# SPDX-License-Identifier: Apache-2.0
"""Rows of `@files`: every kind of entry, and files that change or fail while they are read."""

import errno
import hashlib
import io
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.files import FilesCollector, FilesSettings
from agent.collectors.files.folder import open_folder
from agent.collectors.files.reading import SCHEMA, format_mtime
from agent.collectors.files.view import FilesView
from agent.errors import SourceError, SpoolError
from evidence.manifest.statement import Consistency
from evidence.rows.line import Cell, Token, parse_line
from evidence.rows.values import Kind, check_value
from tests.contract.collectors import read_lines
from tests.fakes.blobsink import MemorySink
from tests.unit.agent.collectors.test_files_walk import Troubled


@contextmanager
def open_view(root: Path, fail: dict[tuple[str, bytes], int] | None = None, **settings: object) -> Iterator[FilesView]:
    folder = Troubled(open_folder(os.fsencode(root)), fail or {})
    try:
        yield FilesView(folder, FilesSettings(root, **settings), lambda _: None)  # type: ignore[arg-type]
    finally:
        folder.close()


def rows_of(view: FilesView, sink: MemorySink | None = None) -> dict[bytes, list[Cell]]:
    rows = [parse_line(line, SCHEMA) for line in read_lines(view, view.tables()[0], sink)]
    return {row[0]: row for row in rows if isinstance(row[0], bytes)}


def test_schema_is_the_one_that_the_design_fixes() -> None:
    assert SCHEMA.digest.hex() == "0d2ba320a07b4dd4f0516f88500c9669e36d6d862bb812d1991b48f7f17b1e49"


def test_rows_say_what_stands_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir(mode=0o2750)
    (tmp_path / "dir").chmod(0o2750)
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "file").chmod(0o604)
    os.utime(tmp_path / "file", ns=(0, 1_795_309_953_120_000_009))
    os.utime(tmp_path / "dir", ns=(0, 0))
    (tmp_path / "link").symlink_to("a\tb")
    os.utime(tmp_path / "link", ns=(0, 5_000_000_000), follow_symlinks=False)
    token = Token(hashlib.sha256(b"content").digest(), 7)
    with open_view(tmp_path) as view:
        assert view.consistency is Consistency.LIVE
        assert list(rows_of(view).values()) == [
            [b"dir", b"dir", None, b"1970-01-01 00:00:00+00", b"2750", None, None],
            [b"file", b"file", b"7", b"2026-11-22 01:12:33.120000009+00", b"0604", None, token],
            [b"link", b"link", None, b"1970-01-01 00:00:05+00", None, b"a\tb", None],
        ]
        assert view.notes() == ()


def test_empty_file_has_a_token_and_sparse_file_is_read_as_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3_000_000)
    with open_view(tmp_path) as view:
        rows = rows_of(view)
    assert rows[b"empty"][6] == Token(hashlib.sha256(b"").digest(), 0)
    assert rows[b"sparse"][6] == Token(hashlib.sha256(bytes(3_000_000)).digest(), 3_000_000)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_and_links_that_are_not_utf8_are_raw_and_noted_in_the_schema(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    (tmp_path / "plain").symlink_to(os.fsdecode(b"\xff"))
    with open_view(tmp_path) as view:
        assert view.tables()[0].schema == SCHEMA
        assert set(rows_of(view)) == {b"caf\xe9", b"plain"}
        assert view.tables()[0].schema.notes == ("not-utf-8 path", "not-utf-8 link")
        (tmp_path / os.fsdecode(b"caf\xe9")).unlink()
        rows_of(view)
        assert view.tables()[0].schema.notes == ("not-utf-8 link",)


@pytest.mark.skipif(os.name == "nt", reason="no pipes in folders there")
def test_pipes_and_sockets_are_noted_and_do_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server, open_view(tmp_path) as view:
        server.bind(os.path.relpath(tmp_path / "socket"))
        assert rows_of(view) == {}
        assert [note.rpartition(": ")[2] for note in view.notes()] == ["pipe", "socket"]


class MeddlingSink(MemorySink):
    """Meddles with the source while a file is read."""

    def __init__(self, meddle: Callable[[int], None]) -> None:
        super().__init__()
        self._meddle = meddle

    def put(self, raw: BinaryIO) -> Token:
        first = raw.read(10)
        self._meddle(self.puts)
        return super().put(io.BufferedReader(_Chain(first, raw)))  # type: ignore[arg-type]


class _Chain(io.RawIOBase):
    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        part = self._first[: len(buffer)] or self._rest.read(len(buffer))
        self._first = self._first[len(part) :] if self._first else b""
        buffer[: len(part)] = part
        return len(part)


def test_file_that_changes_once_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 5_000_000)

    def meddle(time: int) -> None:
        if time == 0:
            path.write_bytes(b"y" * 4_000_000)

    with open_view(tmp_path) as view:
        row = rows_of(view, MeddlingSink(meddle))[b"a"]
        assert view.notes() == ()
    assert row[2] == b"4000000"
    assert row[6] == Token(hashlib.sha256(b"y" * 4_000_000).digest(), 4_000_000)


def test_file_that_never_stands_still_is_kept_as_it_was_read_last_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"start")

    def meddle(_: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    sink = MeddlingSink(meddle)
    with open_view(tmp_path, attempts=4) as view:
        row = rows_of(view, sink)[b"log"]
        assert len(view.notes()) == 1
        assert "changed while it was read" in view.notes()[0]
    assert sink.puts == 4
    assert isinstance(row[6], Token)
    assert row[2] == b"%d" % row[6].size
    assert row[6].sha256 in sink.blobs


def test_rewrite_of_equal_size_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(0, 0))

    def meddle(time: int) -> None:
        if time == 0:
            path.write_bytes(b"y" * 100)

    sink = MeddlingSink(meddle)
    with open_view(tmp_path) as view:
        row = rows_of(view, sink)[b"a"]
    assert sink.puts == 2
    assert row[6] == Token(hashlib.sha256(b"y" * 100).digest(), 100)


@pytest.mark.parametrize(
    ("act", "code", "has_row"),
    [
        ("open_file", errno.EACCES, True),
        ("open_file", errno.EIO, True),
        ("open_file", errno.ENOENT, False),
        ("open_file", errno.ELOOP, False),
        ("look", errno.ENOENT, False),
        ("look", errno.EIO, False),
    ],
)
def test_file_that_fails_is_never_passed_over_in_silence(tmp_path: Path, act: str, code: int, has_row: bool) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x")
    with open_view(tmp_path, {(act, b"b"): code}) as view:
        rows = rows_of(view)
        assert len(view.notes()) == 1
        assert view.notes()[0].endswith(": b")
    assert set(rows) == {b"a", b"c"} | ({b"b"} if has_row else set())
    if has_row:
        assert rows[b"b"][1:3] == [b"file", b"1"]
        assert rows[b"b"][6] is None


def test_file_replaced_by_a_folder_before_it_is_opened_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"x")

    class Swapping(Troubled):
        def open_file(self, name: bytes) -> int:
            if name == b"b":
                (tmp_path / "b").unlink()
                (tmp_path / "b").mkdir()
            return super().open_file(name)

    view = FilesView(Swapping(open_folder(os.fsencode(tmp_path)), {}), FilesSettings(tmp_path), lambda _: None)
    assert set(rows_of(view)) == {b"a"}
    assert any(note.startswith("replaced") for note in view.notes())


def test_error_of_the_sink_is_not_taken_for_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")

    class FullSink(MemorySink):
        def put(self, raw: BinaryIO) -> Token:
            raise SpoolError("the spool is full", hint="make room")

    with open_view(tmp_path) as view, pytest.raises(SpoolError):
        rows_of(view, FullSink())


def test_folder_that_is_missing_or_a_file_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("gone", "file"):
        with pytest.raises(SourceError) as caught, FilesCollector(FilesSettings(tmp_path / name)).open_view():
            pass
        assert "mounted" in caught.value.hint


def test_folder_that_a_link_names_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "link").symlink_to("real")
    with FilesCollector(FilesSettings(tmp_path / "link")).open_view() as view:
        assert set(rows_of(view)) == {b"a"}


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)), st.integers(0, 999))  # noqa: DTZ001
def test_mtime_is_canonical_and_that_of_the_calendar(moment: datetime, nanoseconds: int) -> None:
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    text = format_mtime(since // timedelta(microseconds=1) * 1000 + nanoseconds)
    check_value(Kind.TIMESTAMPTZ, None, text)
    seconds, _, fraction = text.removesuffix(b"+00").partition(b".")
    assert seconds.decode() == moment.isoformat(" ")[:19]
    assert int(fraction.ljust(9, b"0")) == moment.microsecond * 1000 + nanoseconds


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (-719_163, b"0001-12-31 00:00:00+00 BC"),
        (-719_528 - 365, b"0002-01-01 00:00:00+00 BC"),
        (2_932_897, b"10000-01-01 00:00:00+00"),
        (106_751_991_167, b"292278994-08-17 00:00:00+00"),
    ],
)
def test_mtime_beyond_the_years_1_to_9999_is_canonical(days: int, text: bytes) -> None:
    assert format_mtime(days * 86_400_000_000_000) == text
    check_value(Kind.TIMESTAMPTZ, None, text)
