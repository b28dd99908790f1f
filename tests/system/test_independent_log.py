# SPDX-License-Identifier: Apache-2.0
"""The ledger's files, checked by a program built on Go's x/mod/sumdb packages instead of on our own code.

Needs the Debian packages golang-go and golang-golang-x-mod-dev; `script/test` installs them.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from evidence.log.tiles import all_tiles
from evidence.manifest.entry import Level
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note
from tests.builders.ledgers import COSIGNER, LOG, ORIGIN, UNIT, check_files, drafts, make_ledger, note_of, open_ledger

SOURCE = Path(__file__).parents[1] / "independent" / "verify_log" / "main.go"
GO_PACKAGES = "/usr/share/gocode"
MANY = 70_000


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    assert shutil.which("go"), "go is missing: apt-get install golang-go golang-golang-x-mod-dev (script/test does)"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": GO_PACKAGES, "GOCACHE": str(folder / "cache")}
    program = folder / "verify_log"
    built = subprocess.run(
        ["go", "build", "-o", str(program), str(SOURCE)], env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return program


def verify(program: Path, folder: Path, *files: Path, key: str = LOG.key.vkey) -> "subprocess.CompletedProcess[str]":
    command = [str(program), str(folder), key, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a ledger of 530 entries: two full tiles, a partial one, and cosigned."""
    folder = make_ledger(tmp_path_factory.mktemp("small") / "ledger", 530)
    with open_ledger(folder) as ledger:
        ledger.add_cosignature(cosign(parse_note(ledger.checkpoint()).text, COSIGNER, 1_700_000_000), COSIGNER.key)
    return folder


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257])
def test_ledgers_of_all_shapes_verify(verifier: Path, tmp_path: Path, count: int) -> None:
    done = verify(verifier, make_ledger(tmp_path / "ledger", count))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok: ")


def test_ledger_of_seventy_thousand_entries_verifies_with_its_receipts_and_older_checkpoints(
    verifier: Path, tmp_path: Path
) -> None:
    """Entries share one note: what is tested is the tree. Tiles reach level 2."""
    folder = make_ledger(tmp_path / "ledger")
    files: list[Path] = []
    with open_ledger(folder) as ledger:
        for stop in (300, 65_536, MANY):
            note = note_of(stop)
            ledger.append_all([("statement", Level.STORED, note)] * (stop - ledger.size))
            files.append(tmp_path / f"checkpoint-{stop}")
            files[-1].write_bytes(ledger.checkpoint())
        for index in (0, 255, 256, 12_345, 65_535, 65_536, MANY - 1):
            files.append(tmp_path / f"proof-{index}")
            files[-1].write_bytes(ledger.receipt(index).proof.encode())

    done = verify(verifier, folder, *files)

    assert done.returncode == 0, done.stderr
    tiles = sum(1 for tile in all_tiles(MANY) if tile.level is not None)
    assert done.stdout == f"ok: {MANY} entries, {tiles} hash tiles, {len(files)} files beside them\n"

    for path in ("tile/0/200", "tile/1/000", "tile/2/000.p/1", "tile/entries/137"):
        with flipped(folder / path):
            assert verify(verifier, folder).returncode == 1
    with flipped(files[-1], 30):
        assert verify(verifier, folder, files[-1]).returncode == 1


class flipped:
    """Flips one bit of a file, and flips it back."""

    def __init__(self, path: Path, offset: int = 7) -> None:
        self._path = path
        self._offset = offset

    def __enter__(self) -> None:
        self._flip()

    def __exit__(self, *_: object) -> None:
        self._flip()

    def _flip(self) -> None:
        data = bytearray(self._path.read_bytes())
        data[self._offset % len(data)] ^= 1
        self._path.write_bytes(data)


def test_flipped_bit_in_any_file_is_found(verifier: Path, small: Path) -> None:
    places: list[tuple[str, int]] = [("checkpoint", offset) for offset in (0, 24, 40, 120)]
    for tile in all_tiles(530):
        size = (small / tile.path).stat().st_size
        places += [(tile.path, offset) for offset in (0, size // 2, size - 1)]
    assert len(places) == 4 + 3 * 7
    for path, offset in places:
        with flipped(small / path, offset):
            done = verify(verifier, small)
            assert done.returncode == 1, (path, offset, done.stdout)
            assert "panic" not in done.stderr
    assert verify(verifier, small).returncode == 0


def test_missing_and_shortened_files_are_found(verifier: Path, small: Path, tmp_path: Path) -> None:
    for tile in all_tiles(530):
        for change in ("missing", "short", "long"):
            copy = tmp_path / "copy"
            shutil.copytree(small, copy)
            path = copy / tile.path
            data = path.read_bytes()
            path.unlink()
            if change != "missing":
                path.write_bytes(data[:-1] if change == "short" else data + b"\x00")
            assert verify(verifier, copy).returncode == 1, (tile, change)
            shutil.rmtree(copy)


def test_checkpoint_of_another_key_or_another_history_is_refused(verifier: Path, small: Path, tmp_path: Path) -> None:
    assert verify(verifier, small, key=UNIT.renamed(ORIGIN).key.vkey).returncode == 1
    other = make_ledger(tmp_path / "other", 0)
    with open_ledger(other) as ledger:
        ledger.append_all(drafts(range(1000, 1100)))
        forked = tmp_path / "forked"
        forked.write_bytes(ledger.checkpoint())
        proof = tmp_path / "proof"
        proof.write_bytes(ledger.receipt(5).proof.encode())
    done = verify(verifier, small, forked)
    assert done.returncode == 1
    assert "do not continue" in done.stderr
    assert verify(verifier, small, proof).returncode == 1


def test_ledger_written_one_by_one_verifies_with_the_partial_tiles_of_earlier_sizes_around(
    verifier: Path, tmp_path: Path
) -> None:
    folder = make_ledger(tmp_path / "ledger")
    with open_ledger(folder) as ledger:
        for number in range(40):
            ledger.append("decision", Level.NONE, note_of(10**number))
        ledger.append_all(drafts(range(250)))
    assert len(check_files(folder)) == 290
    assert verify(verifier, folder).returncode == 0
