# SPDX-License-Identifier: Apache-2.0
"""One volume in a folder: its bag, recovery data, lists, texts, verifier; then dressed as one copy after another.

    stage    what all copies share: the sealed bag, PAR2 over it, MD5 and SM3 lists, the verifier
    dress    what names the copy: 说明文件.TXT, 文件目录.XML, the slip, and the list of all files (twice)

The bag's files are durable when they are staged; `settle` makes the rest so. Knows nothing of where the volume goes.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.journal import JournalEntry
from agent.media.recovering import write_recovery
from agent.media.sets import WrittenSet, WrittenVolume
from agent.media.texts import (
    BagLine,
    Custody,
    Sheet,
    write_catalog,
    write_readme,
    write_slip_html,
    write_slip_text,
)
from agent.media.verifier import write_verifier
from evidence.bag.layout import manifest_name
from evidence.bag.seal import BagPlace
from evidence.bag.write import BagWriter, make_bag_id
from evidence.digest import Sha256
from evidence.disk import sync_folder
from evidence.keys.signer import Ed25519Signer
from evidence.medium.files import read_parts
from evidence.medium.layout import (
    CATALOG,
    LISTING,
    LISTING_AGAIN,
    MD5_LIST,
    README,
    RECORDS,
    SLIP_HTML,
    SLIP_TEXT,
    SM3_LIST,
    VERIFIER,
    bag_folder,
)
from evidence.medium.listing import ListedFile, Listing
from evidence.medium.number import MediumNumber


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends, to whom: what every bag of a writing says. `secrets` are sealed as for a deposit."""

    origin: str
    sealing: bytes
    secrets: bytes
    signer: Ed25519Signer
    checkpoint: bytes | None
    cosignature: bytes | None
    software: str
    version: str


@dataclass(frozen=True, slots=True)
class Load:
    """What goes on the volumes of a writing: the packs that it plans, the same statements on each; and who has custody."""

    written: WrittenSet
    statements: Sequence[JournalEntry]
    find_pack: Callable[[str], Path]
    custody: Custody


@dataclass(frozen=True, slots=True)
class Staged:
    """A volume in the folder `root`, before it is dressed: its bag, and the files so far with their digests."""

    root: Path
    bag: BagLine
    manifest: Sha256
    files: tuple[ListedFile, ...]


_DRESS = (README, CATALOG, SLIP_HTML, SLIP_TEXT)


def stage_volume(
    root: Path, volume: WrittenVolume, load: Load, sender: Sender, sealed: Callable[[int], None]
) -> Staged:
    """Write what all copies of a volume share into the new folder `root`; `sealed` is told of each pack's bytes.

    Raises: OSError; EvidenceError: a pack of the spool is damaged; MediumError.
    """
    bag = _write_bag(root, volume, load, sender, sealed)
    write_verifier(root / VERIFIER, sender.version)
    write_recovery(root, load.written.redundancy)
    files = _list_files(root)
    manifest = next(file.sha256 for file in files if file.path == f"{bag.path}/{manifest_name('sha256')}")
    return Staged(root, bag, manifest, tuple(files))


def dress(staged: Staged, root: Path, number: MediumNumber, load: Load) -> tuple[int, Sheet]:
    """Make `root`, the staged folder or a copy of it, the medium `number`; give the bytes on it, and what its texts say.

    Raises: OSError.
    """
    written = load.written
    digests = f"SHA-256 {staged.manifest.hex()}（{staged.bag.path}/{manifest_name('sha256')}）"
    size = sum(file.size for file in staged.files)
    sheet = Sheet(
        number, load.written.capacity, written.written, (staged.bag,), len(staged.files) + len(_DRESS) + 2, size,
        load.written.redundancy, digests, load.custody,
    )  # fmt: skip
    bodies = {
        README: write_readme(sheet),
        CATALOG: write_catalog(sheet),
        SLIP_HTML: write_slip_html([sheet]),
        SLIP_TEXT: write_slip_text([sheet]),
    }
    for path, body in bodies.items():
        (root / path).write_bytes(body)
    dressed = [ListedFile(path, len(body), Sha256(hashlib.sha256(body).digest())) for path, body in bodies.items()]
    files = sorted([*staged.files, *dressed], key=lambda file: file.path.encode())
    listing = Listing(number, written.unit, written.source, written.set_id, written.written, tuple(files)).encode()
    for path in (LISTING, LISTING_AGAIN):
        (root / path).write_bytes(listing)
    return size + sum(len(body) for body in bodies.values()) + 2 * len(listing), sheet


def settle(root: Path) -> None:
    """Make every file and folder below `root` durable. Raises: OSError."""
    for base, _, names in os.walk(root, topdown=False):
        for name in names:
            with (Path(base) / name).open("rb+") as file:
                os.fsync(file.fileno())
        sync_folder(Path(base))


def copy_volume(staged: Staged, root: Path) -> None:
    """Copy a staged volume to the new folder `root`. Raises: OSError."""
    shutil.copytree(staged.root, root)


def _write_bag(root: Path, volume: WrittenVolume, load: Load, sender: Sender, sealed: Callable[[int], None]) -> BagLine:
    written, number = load.written, volume.number
    name = number.volume_name
    path = bag_folder(number.year, number.kind, name)
    place = BagPlace(sender.origin, written.unit, written.source, make_bag_id())
    bag = BagWriter(root / path, place, sender.sealing)
    for pack in volume.packs:
        sealed(bag.add_pack(pack, load.find_pack(pack)).size)
    for entry in load.statements:
        bag.add_statement(entry.sequence, entry.digest, entry.note)
    bag.finish(
        sender.signer, written.written, sender.software, secrets=sender.secrets, checkpoint=sender.checkpoint,
        cosignature=sender.cosignature, set_=written.set_id, volume=number.volume, volumes=number.volumes,
    )  # fmt: skip
    labels = tuple(f"{entry.source}#{entry.sequence}" for entry in load.statements)
    title = f"{load.custody.unit_name} {written.source} 第 {number.volume} 卷（共 {number.volumes} 卷）"
    return BagLine(name, path, title, written.written, len(volume.packs), bag.size, labels)


def _list_files(root: Path) -> list[ListedFile]:
    """Hash everything below `root` once, write the lists of MD5 and SM3 over the bags; give all files with SHA-256."""
    files: list[ListedFile] = []
    lists: dict[str, list[str]] = {MD5_LIST: [], SM3_LIST: []}
    for path in sorted(_walk(root), key=str.encode):
        is_record = path.startswith(f"{RECORDS}/")
        states = [hashlib.sha256(), *(_form_hashes() if is_record else ())]
        size = 0
        with (root / path).open("rb") as file:
            for part in read_parts(file):
                size += len(part)
                for state in states:
                    state.update(part)
        files.append(ListedFile(path, size, Sha256(states[0].digest())))
        for name, state in zip(lists, states[1:], strict=False):
            lists[name].append(f"{state.hexdigest()}  {path}\n")
    for name, lines in lists.items():
        body = "".join(lines).encode()
        (root / name).write_bytes(body)
        files.append(ListedFile(name, len(body), Sha256(hashlib.sha256(body).digest())))
    return files


def _form_hashes() -> "list[hashlib._Hash]":
    # For forms alone, which ask for them by name: nothing here rests on MD5.
    return [hashlib.md5(usedforsecurity=False), hashlib.new("sm3")]


def _walk(root: Path) -> Iterator[str]:
    return (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
