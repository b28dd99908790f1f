# SPDX-License-Identifier: Apache-2.0
"""Where a restore may write: targets as they are typed."""

import subprocess
import sys
from pathlib import Path

import pytest

from center.errors import TargetError
from center.restore import open_target
from center.restore.folder import FolderTarget
from center.restore.names import Identifiers, fold_ascii, split_table_name
from center.restore.sqlite import SqliteTarget
from terminal.errors import UsageError


def test_a_sqlite_url_is_relative_with_three_slashes_and_absolute_with_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text, path in (("sqlite:///a%20b.db", Path("a b.db")), (f"sqlite:///{tmp_path}/c.db", tmp_path / "c.db")):
        target = open_target(text)
        assert isinstance(target, SqliteTarget)
        assert target.description == str(path)
        target.finish()
        target.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a b.db", "c.db"]


def test_a_path_is_a_folder_which_is_made(tmp_path: Path) -> None:
    target = open_target(str(tmp_path / "new/folder"))
    assert isinstance(target, FolderTarget)
    assert target.find_content() is None
    target.close()
    assert (tmp_path / "new/folder").is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("oracle://host/db", "oracle:// is no kind of target"),
        ("mysql://host/db", "names no account or no database"),
        ("mysql://u@host", "names no account or no database"),
        ("mysql://u@host/db?charset=gbk", "an option that is not known"),
        ("mysql://u@host:port/db", "is no number"),
        ("mysql://u:secret@h/db", "has a password"),
        ("csv:", "names no folder"),
        ("parquet:", "names no folder"),
        ("sqlite://", "names no SQLite file"),
        ("sqlite://copy.db", "names no SQLite file"),
        ("sqlite:///", "names no SQLite file"),
        ("postgresql://u:secret@h/db", "has a password"),
        ("postgresql://u@h/db?password=secret", "has a password"),
        ("postgresql://[/db", "not a URL"),
    ],
)
def test_other_targets_are_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        open_target(text)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"these are my notes, not a database" * 10)
    with pytest.raises(TargetError, match="cannot be opened as a SQLite database"):
        open_target(f"sqlite:///{tmp_path}/notes.txt")
    assert (tmp_path / "notes.txt").read_bytes().startswith(b"these are my notes")
    with pytest.raises(TargetError, match="cannot be opened"):
        open_target(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(TargetError, match="cannot be made"):
        open_target(f"{tmp_path}/notes.txt/x")


def test_each_name_gets_an_identifier_of_its_own() -> None:
    names = Identifiers(20, fold_ascii, lambda name: name.startswith("pg_"))
    assert names.take_all(["A", "a", "a_2", "", "pg_x", "Ä", "ä", "a\0b"]) == (
        "A", "a_2", "a_2_2", "_", "_pg_x", "Ä", "ä", "a_b",
    )  # fmt: skip
    long = names.take_all(["很长的名字很长的名字一", "很长的名字很长的名字二", "x" * 20, "x" * 21])
    assert len(set(long)) == 4
    assert all(len(name.encode()) <= 20 for name in long)
    assert long[2] == "x" * 20


def test_names_of_our_own_and_logical_names_are_one_identifier() -> None:
    assert split_table_name("public.a\\.b") == ["public", "a.b"]
    assert split_table_name("\\@files") == ["@files"]
    assert split_table_name("@files") == ["@files"]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("center.restore", {"psycopg2", "MySQLdb", "pyarrow"}),
        ("center.restore.mysql", {"psycopg2", "pyarrow"}),
        ("center.restore.postgresql", {"MySQLdb", "pyarrow"}),
        ("center.restore.parquet", {"MySQLdb", "psycopg2"}),
    ],
)
def test_a_driver_is_loaded_only_by_its_own_target(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not absent & set(loaded)
