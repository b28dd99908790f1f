# SPDX-License-Identifier: Apache-2.0
"""Restoring into a folder: files and CSV."""

import csv
import hashlib
import io
import os
from pathlib import Path

import pytest

from center.errors import TargetError
from center.restore.csv import encode_record, read_records
from center.restore.folder import FolderTarget
from center.restore.moment import format_moment, parse_moment
from center.restore.restore import RestoreReport, restore
from evidence.errors import FormatError
from evidence.rows.line import Cell, Token, encode_line
from evidence.rows.schema import Column, Schema
from evidence.rows.values import Kind
from tests.fakes import nasty
from tests.fakes.snapshot import SourceHistory, TableContent

FILES = Schema(
    "@files",
    tuple(
        Column(name, kind, name not in ("path", "type"), name)
        for name, kind in (
            ("path", Kind.TEXT),
            ("type", Kind.TEXT),
            ("size", Kind.INT),
            ("mtime", Kind.TIMESTAMPTZ),
            ("mode", Kind.TEXT),
            ("link", Kind.TEXT),
            ("content", Kind.TEXT),
        )
    ),
    ("path",),
)
TIME = b"2026-11-22 01:02:03.123456789+00"


def _file(
    path: bytes, content: bytes, mode: bytes | None = b"0640", mtime: bytes | None = TIME, kind: bytes = b"file"
) -> list[Cell]:
    size = b"%d" % len(content) if kind == b"file" else None
    return [path, kind, size, mtime, mode, None, Token(hashlib.sha256(content).digest(), len(content))]


def _folder(path: bytes, mode: bytes | None = b"0755") -> list[Cell]:
    return [path, b"dir", None, TIME, mode, None, None]


def _link(path: bytes, target: bytes) -> list[Cell]:
    return [path, b"link", None, TIME, None, target, None]


def _files(*rows: list[Cell], blobs: tuple[bytes, ...] = ()) -> TableContent:
    return TableContent(FILES, [encode_line(row) for row in rows], blobs)


def _restore(path: Path, *tables: TableContent, overwrite: bool = False) -> RestoreReport:
    target = FolderTarget(path)
    try:
        return restore(SourceHistory().take(*tables), target, overwrite=overwrite)
    finally:
        target.close()


def test_files_come_back_with_names_times_modes_and_links(tmp_path: Path) -> None:
    big = os.urandom(3 << 20)
    content = _files(
        _folder(b"a"),
        _file(b"a.txt", b"before the folder's content"),
        _folder(b"a/empty", b"0700"),
        _file("a/扫描件 1.dcm".encode(), big),
        _file(b"a/gbk-\xd5\xc5.txt", b""),
        _file(b"a/nl\nname", b"x", b"0600", b"1969-12-31 23:59:59.5+00"),
        _link(b"a/out", b"/etc/passwd"),
        _link(b"a/up", b"../../nowhere"),
        _folder(b"closed", b"0500"),
        _file(b"closed/read-only", b"y", b"0400"),
        blobs=(big, b"", b"x", b"y", b"before the folder's content"),
    )
    report = _restore(tmp_path / "out", content)
    assert report.tables[0].notes == ()
    assert report.is_equal
    assert (tmp_path / "out/a/扫描件 1.dcm").read_bytes() == big
    assert (tmp_path / "out/a/out").readlink() == Path("/etc/passwd")
    assert (tmp_path / "out/closed").stat().st_mode & 0o7777 == 0o500
    assert (tmp_path / "out/a").stat().st_mtime_ns == parse_moment(TIME)


def test_a_dump_and_files_without_modes_come_back_equal(tmp_path: Path) -> None:
    content = _files(
        _file(b"dump.sql", b"dump", None, TIME, b"dump"), _file(b"w.txt", b"win", None), blobs=(b"dump", b"win")
    )
    report = _restore(tmp_path / "out", content)
    assert report.is_equal
    assert (tmp_path / "out/dump.sql").read_bytes() == b"dump"


@pytest.mark.parametrize(
    "path", [b"../evil", b"/tmp/evil", b"a/../../evil", b"a//evil", b".", b"..", b"a/", b"nul\x00", b"dir/./x"]
)
def test_a_path_that_leaves_the_folder_is_refused_and_the_others_restored(path: bytes, tmp_path: Path) -> None:
    report = _restore(tmp_path / "out", _files(_file(path, b"evil"), _file(b"good", b"good"), blobs=(b"evil", b"good")))
    assert not report.is_equal
    assert "not one below the target" in report.tables[0].notes[0].en
    assert (tmp_path / "out/good").read_bytes() == b"good"
    found = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert found == [tmp_path / "out/good"]


def test_a_restored_link_is_never_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    content = _files(_link(b"a", str(tmp_path / "outside").encode()), _file(b"a/evil", b"evil"), blobs=(b"evil",))
    report = _restore(tmp_path / "out", content)
    assert not report.is_equal
    assert "a file or a link stands where the path has a folder" in report.tables[0].notes[0].en
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_planted_in_the_target_is_not_followed_either(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/victim").write_bytes(b"safe")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").symlink_to(tmp_path / "outside")
    (tmp_path / "out/victim").symlink_to(tmp_path / "outside/victim")
    content = _files(_folder(b"a"), _file(b"a/x", b"x"), _file(b"victim", b"new"), blobs=(b"x", b"new"))
    report = _restore(tmp_path / "out", content, overwrite=True)
    assert report.is_equal
    assert (tmp_path / "outside/victim").read_bytes() == b"safe"
    assert sorted(p.name for p in (tmp_path / "outside").iterdir()) == ["victim"]


def test_setuid_bits_are_not_lent_and_that_is_said(tmp_path: Path) -> None:
    report = _restore(tmp_path / "out", _files(_folder(b"g", b"2775"), _file(b"su", b"x", b"4755"), blobs=(b"x",)))
    assert (tmp_path / "out/su").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out/g").stat().st_mode & 0o7777 == 0o2775
    assert not report.is_equal
    assert report.tables[0].differences is not None
    assert report.tables[0].differences.count == 1
    assert "setuid" in report.tables[0].notes[0].en


def test_files_that_were_there_are_kept_and_counted_as_a_difference(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_bytes(b"mine")
    (tmp_path / "out/old").write_bytes(b"old")
    content = _files(_file(b"old", b"new"), blobs=(b"new",))
    with pytest.raises(TargetError, match="not empty"):
        _restore(tmp_path / "out", content)
    assert (tmp_path / "out/old").read_bytes() == b"old"
    report = _restore(tmp_path / "out", content, overwrite=True)
    assert (tmp_path / "out/mine").read_bytes() == b"mine"
    assert (tmp_path / "out/old").read_bytes() == b"new"
    differences = report.tables[0].differences
    assert differences is not None
    assert [(a, b is not None and b.startswith(b"mine\t")) for a, b in differences.first] == [(None, True)]


def test_a_file_whose_content_the_snapshot_lacks_is_not_invented(tmp_path: Path) -> None:
    unread: list[Cell] = [b"unread", b"file", b"5", TIME, b"0600", None, None]
    content = _files(unread, _file(b"lost", b"lost"), _file(b"good", b"good"), blobs=(b"good",))
    report = _restore(tmp_path / "out", content)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good"]
    assert not report.is_equal
    assert any("no content of them" in note.en for note in report.tables[0].notes)
    assert any("not restored" in note.en and "lost" in note.en for note in report.tables[0].notes)


def test_a_csv_file_is_what_others_read(tmp_path: Path) -> None:
    _restore(tmp_path / "out", nasty.keyless("public.说明/1"))
    text = (tmp_path / "out/public.说明_1.csv").read_bytes().decode("utf-8")
    records = list(csv.reader(io.StringIO(text, newline="")))
    assert records[0] == ['说明 "quoted"', "n"]
    assert records.count(["same", "1"]) == 3
    assert '"",0\r\n' in text
    assert "\r\n,2\r\n" in text
    assert (tmp_path / "out/public.说明_1.schema.json").read_bytes() == nasty.keyless("public.说明/1").schema.encode()


@pytest.mark.parametrize("raw", [b"a,b", b'"a\r\n', b'a"b\r\n', b'"a"b\r\n', b"a\n"])
def test_a_csv_file_that_we_would_not_write_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        list(read_records(io.BytesIO(raw)))


def test_null_and_empty_text_differ_in_csv() -> None:
    records: list[list[bytes | None]] = [[None], [b""], [None, b"", None], [b'"', b"\r\n", b","]]
    raw = b"".join(map(encode_record, records))
    assert raw == b'\r\n""\r\n,"",\r\n"""","\r\n",","\r\n'
    assert list(read_records(io.BytesIO(raw))) == records


@pytest.mark.parametrize("moment", [0, -1, 10**18, 1, -(10**20), 253402300800 * 10**9, 951782400 * 10**9])
def test_moments_of_any_year_come_back(moment: int) -> None:
    assert parse_moment(format_moment(moment)) == moment
