# SPDX-License-Identifier: Apache-2.0
"""The audit of the ledger's files, in a log of several tiles: one damaged file is named, and not its neighbours."""

import shutil
from pathlib import Path

import pytest

from center.audit.checkpoints import Signers
from center.audit.findings import Finding, Findings, Reading, Thing
from center.audit.log import LogAudit, audit_log
from center.ledger.ledger import Ledger
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.log.tiles import Tile, all_tiles, encode_bundle, parse_bundle, tile_width
from evidence.manifest.entry import Act, Level
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note, sign_note
from tests.builders.center import TickingClock

LOG = Ed25519Signer.from_seed("log.example/audit", KeyType.ED25519, bytes(32))
OPERATOR = Ed25519Signer.from_seed("log.example/audit/operator", KeyType.ED25519, bytes(range(32)))
WITNESS = Ed25519Signer.from_seed("X013", KeyType.COSIGNATURE, b"\x07" * 32)
SIZES = (3, 256, 300, 700)
SIZE = SIZES[-1]


def note(number: int) -> bytes:
    return sign_note(Act("test", f"entry {number}", "-", "nobody", "-").encode(), [OPERATOR]).encode()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "ledger"
    Ledger.create(folder, LOG)
    with Ledger(folder, LOG, TickingClock()) as ledger:
        done = 0
        for size in SIZES:
            ledger.append_all([("check", Level.NONE, note(i)) for i in range(done, size)])
            done = size
        line = cosign(parse_note(ledger.checkpoint()).text, WITNESS, 1_700_000_000)
        assert ledger.add_cosignature(line, WITNESS.key)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "ledger"))


def run(folder: Path, signers: Signers | None = None) -> tuple[LogAudit, tuple[Finding, ...]]:
    findings = Findings()
    log = audit_log(folder, signers or Signers(LOG.key, [WITNESS.key]), findings, Reading())
    return log, findings.all()


def damages(folder: Path) -> set[str]:
    return {finding.where for finding in run(folder)[1] if not finding.is_note}


def flip(path: Path, position: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[position] ^= 4
    path.write_bytes(raw)


TILES = sorted(tile.path for tile in all_tiles(SIZE))


def test_a_sound_log_has_no_findings_and_gives_its_entries(folder: Path) -> None:
    log, findings = run(folder)
    assert findings == ()
    assert log.size == SIZE
    assert sum(data is not None for _, data in log.entries()) == SIZE


def test_the_log_of_this_test_has_tiles_of_two_levels() -> None:
    assert {path.split("/")[1] for path in TILES} == {"entries", "0", "1"}
    assert len(TILES) == 7


@pytest.mark.parametrize("path", TILES)
@pytest.mark.parametrize("damage", ["first byte", "middle", "last byte", "cut", "longer", "empty", "gone"])
def test_each_damaged_tile_is_named_and_no_other(folder: Path, path: str, damage: str) -> None:
    file = folder / path
    raw = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage in ("cut", "empty", "longer"):
        file.write_bytes({"cut": raw[: len(raw) // 2], "empty": b"", "longer": raw + b"\0"}[damage])
    else:
        flip(file, {"first byte": 0, "middle": len(raw) // 2, "last byte": len(raw) - 1}[damage])
    assert damages(folder) == {f"ledger/{path}"}


def test_the_entries_that_a_damaged_bundle_changes_are_named(folder: Path) -> None:
    tile = Tile(None, 1, tile_width(SIZE, 0, 1))
    entries = parse_bundle((folder / tile.path).read_bytes(), tile.width)
    entries[5] = entries[5].replace(b"entry", b"ENTRY")
    (folder / tile.path).write_bytes(encode_bundle(entries))
    log, findings = run(folder)
    assert [(f.thing, f.where) for f in findings] == [(Thing.BUNDLE, f"ledger/{tile.path}")]
    assert "log@261" in findings[0].reason.en
    assert log.damaged_bundles == {1}
    assert [index for index, data in log.entries() if data is None] == list(range(256, 512))


def test_a_bundle_and_the_tile_above_another_are_both_named(folder: Path) -> None:
    flip(folder / "tile/entries/000", 700)
    flip(folder / "tile/0/001", 70)
    assert damages(folder) == {"ledger/tile/entries/000", "ledger/tile/0/001"}


def test_a_bundle_with_its_own_tile_rewritten_to_match_is_found_by_the_level_above(folder: Path) -> None:
    """Somebody rewrote history in two places at once; the root that was signed says which block is false."""
    from evidence.digest import leaf_hash

    entries = parse_bundle((folder / "tile/entries/000").read_bytes(), 256)
    entries[9] = entries[9].replace(b"entry 9", b"entry X")
    (folder / "tile/entries/000").write_bytes(encode_bundle(entries))
    raw = bytearray((folder / "tile/0/000").read_bytes())
    raw[9 * 32 : 10 * 32] = leaf_hash(entries[9])
    (folder / "tile/0/000").write_bytes(raw)
    assert damages(folder) == {"ledger/tile/0/000", "ledger/tile/entries/000"}


def test_history_rewritten_on_all_levels_contradicts_the_signed_root(folder: Path) -> None:
    for path in TILES:
        if (folder / path).stat().st_size >= 64:
            flip(folder / path, (folder / path).stat().st_size - 5)
    assert "ledger/checkpoint" in damages(folder)


def test_a_tile_of_a_smaller_size_that_is_still_there_is_judged_too(folder: Path) -> None:
    strays = sorted(
        path for path in (folder / "tile").rglob("*")
        if path.is_file() and path.relative_to(folder).as_posix() not in TILES
    )  # fmt: skip
    assert strays, "the ledger keeps some partial tiles of earlier sizes"
    flip(strays[0], 1)
    assert damages(folder) == {f"ledger/{strays[0].relative_to(folder).as_posix()}"}


def test_what_is_no_tile_is_noted_and_no_damage(folder: Path) -> None:
    (folder / "tile" / "0" / "README").write_text("hello")
    _, findings = run(folder)
    assert [(f.where, f.is_note) for f in findings] == [("ledger/tile/0/README", True)]


@pytest.mark.parametrize("position", range(0, 200, 13))
def test_a_flipped_bit_of_the_checkpoint_is_named(folder: Path, position: int) -> None:
    flip(folder / "checkpoint", position)
    assert damages(folder) == {"ledger/checkpoint"}


def test_a_checkpoint_that_is_gone_is_named_and_the_tiles_are_judged_by_the_kept_one(folder: Path) -> None:
    (folder / "checkpoint").unlink()
    flip(folder / "tile/0/000", 5)
    assert damages(folder) == {"ledger/checkpoint", "ledger/tile/0/000"}


def test_without_the_logs_key_tiles_are_judged_all_the_same(folder: Path) -> None:
    flip(folder / "tile/1/000.p/2", 5)
    _, findings = run(folder, Signers(None, None))
    assert [f.where for f in findings] == ["ledger/tile/1/000.p/2"]


def test_a_cosignature_by_nobody_known_is_named(folder: Path) -> None:
    _, findings = run(folder, Signers(LOG.key, []))
    assert {f.where for f in findings} == {"ledger/checkpoint", "ledger/ledger.sqlite"}
    assert all("X013" in f.reason.en for f in findings)


def test_two_histories_are_found(folder: Path, tmp_path: Path) -> None:
    """The kept checkpoints and the published files are of two logs with one key."""
    other = tmp_path / "other"
    Ledger.create(other, LOG)
    with Ledger(other, LOG, TickingClock()) as ledger:
        ledger.append_all([("check", Level.NONE, note(-i)) for i in range(1, SIZE)])
    shutil.copyfile(other / "ledger.sqlite", folder / "ledger.sqlite")
    found = [f for f in run(folder)[1] if not f.is_note]
    assert {f.where for f in found} == {"ledger/ledger.sqlite"}
    assert any("another root than the tiles give" in f.reason.en for f in found)


def test_a_checkpoint_that_is_not_published_yet_is_a_note(folder: Path, filled: Path, tmp_path: Path) -> None:
    """A crash between the swap and the files: the next start publishes."""
    grown = Path(shutil.copytree(filled, tmp_path / "grown"))
    with Ledger(grown, LOG, TickingClock()) as ledger:
        ledger.append("check", Level.NONE, note(SIZE))
    shutil.copyfile(grown / "ledger.sqlite", folder / "ledger.sqlite")
    _, findings = run(folder)
    assert [(f.where, f.is_note) for f in findings] == [("ledger/ledger.sqlite", True)]


def test_an_empty_log_is_sound(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "ledger", LOG)
    log, findings = run(tmp_path / "ledger")
    assert (log.size, findings) == (0, ())
