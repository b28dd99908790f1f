# SPDX-License-Identifier: Apache-2.0
"""Each file that a center keeps, damaged in turn: the audit names it. (Promise 3; docs/threats.md)

A small real center with two units is filled by the real admission, copied, damaged in one place, and audited. What the
audit may pass over is listed here with the reason, so that the list cannot grow unseen.
"""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from center.audit.audit import audit
from center.audit.findings import Finding
from center.audit.opening import open_audited
from center.registry.packs import list_packs, read_pack
from center.store.folder import FolderStore
from tests.builders.center import fill_center

FLIPS = 2
"""Bits flipped, one after another, in each file; `test_every_bit…` below does all of one file."""

PASSED_OVER = {
    ".lock": "empty files whose system locks matter, not their bytes",
    "tls/": "the server checks them at each start; they prove nothing that is stored",
    "locks/": "files whose system locks matter, not their bytes",
    "signs.sqlite": "when units last called: no evidence, and made anew by their next call",
    "alerts.sqlite": "what was told to people: no evidence, and what is still so is told again",
    "center.yaml": "read by every command; a damaged one is refused with its line, comments apart",
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked") / "center"
    fill_center(folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "center"))


def named(folder: Path) -> set[str]:
    return {finding.where for finding in found(folder)}


def found(folder: Path) -> list[Finding]:
    return [finding for finding in audit(open_audited(folder)).findings if not finding.is_note]


def files_below(folder: Path, part: str) -> list[str]:
    paths = [path.relative_to(folder).as_posix() for path in sorted((folder / part).rglob("*")) if path.is_file()]
    return [path for path in paths if not path.endswith(".lock")]


def flip(path: Path, position: int, bit: int = 0) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1 << bit
    path.write_bytes(raw)


def try_damages(folder: Path, path: str, seed: int) -> dict[str, set[str]]:
    """Damage one file in every way, one after another; give what was named after each."""
    file, raw = folder / path, (folder / path).read_bytes()
    chance = random.Random(f"{path.rpartition('/')[0]} {seed}")
    results: dict[str, set[str]] = {}
    for number in range(FLIPS):
        position, bit = chance.randrange(len(raw)), chance.randrange(8)
        flip(file, position, bit)
        results[f"flip {number}: bit {bit} of byte {position} of {len(raw)}"] = named(folder)
        file.write_bytes(raw)
    for how, damaged in (("cut", raw[: len(raw) // 2]), ("one byte less", raw[:-1]), ("empty", b"")):
        file.write_bytes(damaged)
        results[how] = named(folder)
    file.unlink()
    results["gone"] = named(folder)
    file.write_bytes(raw)
    return results


def test_the_list_of_files_is_complete(folder: Path) -> None:
    """A new kind of file in the center's folder must be audited, or stand in PASSED_OVER."""
    kinds = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert kinds == {
        "store", "ledger", "units", "keys", "tls", "catalog.sqlite", "catalog.sqlite.lock", "center.yaml", "locks", "signs.sqlite",
        "alerts.sqlite",
    }  # fmt: skip


@pytest.mark.parametrize("number", range(7))
def test_each_pack_damaged_in_turn_is_named_alone(folder: Path, number: int) -> None:
    path = files_below(folder, "store")[number]
    for how, where in try_damages(folder, path, 1).items():
        assert where == {path}, how


def test_a_bit_of_each_frame_of_a_pack_is_found(folder: Path) -> None:
    store = FolderStore(folder / "store")
    files = [file for file in list_packs(store) if not isinstance(file, str) and file.source == "his"]
    for file in files:
        path = folder / "store" / file.path
        raw = path.read_bytes()
        for frame in read_pack(store, file).frames[::7]:
            for position in (frame.offset + 20, frame.offset + 46 + len(frame.data) // 2):
                flip(path, position)
                assert named(folder) == {f"store/{file.path}"}, (file.path, frame.offset)
                path.write_bytes(raw)


@pytest.mark.parametrize("part", ["tile/entries", "tile/0"])
def test_each_tile_and_entry_bundle_damaged_in_turn_is_named(folder: Path, part: str) -> None:
    size = audit(open_audited(folder)).reading.entries
    paths = files_below(folder, f"ledger/{part}")
    needed = next(path for path in paths if path.endswith(f".p/{size}"))
    for path in [needed, *paths[::6]]:
        is_needed = path == needed
        for how, where in try_damages(folder, path, 2).items():
            if how == "gone" and not is_needed:
                assert where == set(), "a partial tile of an earlier size may be dropped at any time"
            else:
                # Receipts that cannot be given any more are named beside the file, by their entries.
                assert {name for name in where if not name.startswith("log@")} == {path}, (path, how)


def test_a_damaged_checkpoint_is_named(folder: Path) -> None:
    for how, where in try_damages(folder, "ledger/checkpoint", 3).items():
        assert where == {"ledger/checkpoint"}, how


@pytest.mark.parametrize("path", ["catalog.sqlite", "ledger/ledger.sqlite"])
def test_a_damaged_database_is_named(folder: Path, path: str) -> None:
    """SQLite leaves bytes of its pages unused, where a flipped bit means nothing; so flips are aimed at content."""
    file, raw = folder / path, (folder / path).read_bytes()
    marks = {
        "catalog.sqlite": [b"SQLite format", b"CREATE TABLE objects", b"jinsuo/statement@v1", b"consistent"],
        "ledger/ledger.sqlite": [b"SQLite format", b"CREATE TABLE newest", b"archives.example/jinsuo\n15\n"],
    }[path]
    for mark in marks:
        start = raw.index(mark)
        for offset in range(0, len(mark), 5):
            flip(file, start + offset, 3)
            assert named(folder) == {path}, (mark, offset)
            file.write_bytes(raw)
    for damaged in (raw[: len(raw) // 2], b"", b"\0" * len(raw)):
        file.write_bytes(damaged)
        assert path in named(folder)
        file.write_bytes(raw)
    file.unlink()
    assert path in named(folder)


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("ledger/ledger.sqlite", "UPDATE newest SET size = size + 1"),
        ("ledger/ledger.sqlite", "UPDATE newest SET published_size = size + 1"),
        ("ledger/ledger.sqlite", "UPDATE checkpoints SET size = size + 100 WHERE size = 7"),
        ("ledger/ledger.sqlite", "UPDATE checkpoints SET is_cosigned = 0"),
        ("catalog.sqlite", "UPDATE statements SET manifest_object = zeroblob(32) WHERE log_index = 4"),
        ("catalog.sqlite", "UPDATE statements SET manifest_object = NULL WHERE log_index = 4"),
        ("catalog.sqlite", "UPDATE statements SET level = 'store1' WHERE log_index = 4"),
        ("catalog.sqlite", "UPDATE statements SET previous = 7 WHERE log_index = 4"),
        ("catalog.sqlite", "UPDATE statements SET root = 'x' WHERE log_index = 4"),
        ("catalog.sqlite", "UPDATE statements SET received = '2026' WHERE log_index = 4"),
        ("catalog.sqlite", "DELETE FROM packs WHERE id = 1"),
    ],
)
@pytest.mark.parametrize("percent", [100, 0])
def test_a_false_figure_in_a_whole_database_is_named(folder: Path, path: str, change: str, percent: int) -> None:
    """The file is sound for SQLite, but the center could not start, or not find what it keeps."""
    with closing(sqlite3.connect(folder / path)) as connection:
        connection.execute(change)
        connection.commit()
    assert {f.where for f in audit(open_audited(folder), percent).findings if not f.is_note} == {path}


def test_each_secret_of_a_source_damaged_in_turn_is_named_alone(folder: Path) -> None:
    for path in files_below(folder, "units"):
        if "/sources/" in path:
            for how, where in try_damages(folder, path, 4).items():
                assert where == {path}, (path, how)


def test_each_unit_file_damaged_in_turn_is_named_alone(folder: Path) -> None:
    """What is flipped stands in the log too; times of adding, and hashes of codes that were used, stand nowhere else."""
    path = "units/X013/unit.json"
    file, raw = folder / path, (folder / path).read_bytes()
    for mark in (
        b'"statement":"X013+',
        b'"cosigner":"X013+',
        b'"disabled":false',
        "单位 X013".encode(),
        b"jinsuo/unit@v1",
    ):
        start = raw.index(mark)
        for position in range(start, start + len(mark), 3):
            flip(file, position, 1)
            assert named(folder) == {path}, (mark, position - start)
            file.write_bytes(raw)
    for damaged in (raw[: len(raw) // 2], raw[:-1], b"", raw + b"\n"):
        file.write_bytes(damaged)
        assert named(folder) == {path}, damaged[-20:]
    file.unlink()
    assert named(folder) == {path}


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        ("keys/log.pem", b"BCIE"),
        ("keys/operator.pem", b"BCIE"),
        ("keys/master.key", b'"key":"'),
        ("keys/sealing.key", b'"private":"'),
    ],
)
def test_each_key_damaged_is_named_alone(folder: Path, path: str, mark: bytes) -> None:
    raw = (folder / path).read_bytes()
    position = raw.index(mark) + len(mark) + 9
    another = raw[:position] + (b"A" if raw[position] != ord("A") else b"B") + raw[position + 1 :]
    for damaged in (raw[: len(raw) // 2], b"", another):
        (folder / path).write_bytes(damaged)
        assert named(folder) == {path}, damaged[:60]
    (folder / path).unlink()
    assert named(folder) == {path}


def test_every_bit_of_a_receipt_relevant_entry_is_found(folder: Path) -> None:
    """One statement's entry, every byte of it, as it lies in its bundle."""
    path = folder / "ledger" / "tile" / "entries" / "000.p" / "15"
    raw = path.read_bytes()
    start = raw.index(b"kind gap") - 200
    for position in range(start, start + 300, 11):
        flip(path, position, position % 8)
        assert "ledger/tile/entries/000.p/15" in named(folder), position
        path.write_bytes(raw)
