# SPDX-License-Identifier: Apache-2.0
"""Write one bag into a folder, which nobody else looks at before it is whole. Durable once `finish` returns.

The caller makes the folder known under its final name afterwards, in one step. Bounds: a bag of the caller's choice of
packs; memory is one frame. Which packs and statements go in, and in which order, is the caller's to say.
Layout: `layout.py`. Reads and writes files; the time is an argument.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from evidence.bag.envelope import BaggedPack, BaggedStatement, Envelope, sign_envelope
from evidence.bag.layout import (
    ALGORITHMS,
    DECLARATION,
    DECLARATION_NAME,
    ENVELOPE_PATH,
    INFO_NAME,
    encode_info,
    encode_manifest,
    manifest_name,
    pack_path,
    statement_path,
    tag_manifest_name,
)
from evidence.bag.seal import BagPlace, make_data_key, seal_key, seal_pack
from evidence.digest import ListedHashes, PackNamer, Sha256, sha256
from evidence.disk import NewFile, sync_folder
from evidence.errors import FormatError
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.grammar import check_unit_name
from evidence.objects.pack import MAX_PACK_BYTES


class BagWriter:
    """One bag in the making. Not thread-safe.

    Attributes: `place`; `size`, the bytes of payload so far.
    """

    def __init__(self, folder: Path, place: BagPlace, sealing: bytes) -> None:
        """Begin a bag in the new folder `folder`, sealed to the center's key `sealing[32]`.

        Raises: FileExistsError, OSError; FormatError: not a usable key.
        """
        check_unit_name(place.unit)
        self.place = place
        self.size = 0
        self._folder = folder
        self._sealing = sealing
        self._data_key = make_data_key()
        self._key = seal_key(self._data_key, place, sealing)
        self._packs: list[BaggedPack] = []
        self._statements: list[BaggedStatement] = []
        self._payload: dict[str, ListedHashes] = {}
        folder.mkdir(parents=True)

    def add_pack(self, name: str, path: Path) -> BaggedPack:
        """Seal the pack `name`, which lies in the file `path`, into the bag.

        Raises: OSError; FormatError, LimitError: the file is no pack, or one of another name.
        """
        namer, sealed_namer, hashing = PackNamer(), PackNamer(), ListedHashes()
        folder = self._folder / "data" / "packs"
        with NewFile(folder, name) as file, path.open("rb") as source:
            for part in seal_pack(_named(source_parts(source.fileno()), namer), self._data_key):
                file.write(part)
                sealed_namer.update(part)
                hashing.update(part)
            if namer.name() != name:
                raise FormatError(f"{path} is damaged: its bytes give the name {namer.name()}")
            pack = BaggedPack(name, sealed_namer.name(), hashing.size)
            file.commit_over(self._folder / pack_path(pack))
        self._packs.append(pack)
        self._keep(pack_path(pack), hashing)
        return pack

    def add_statement(self, sequence: int, digest: Sha256, note: bytes) -> BaggedStatement:
        """Put a statement's note into the bag, after those of lower sequences."""
        statement = BaggedStatement(sequence, digest, sha256(note))
        self._write(statement_path(self.place.source, statement), note)
        self._statements.append(statement)
        return statement

    def finish(
        self,
        signer: Ed25519Signer,
        created: datetime,
        software: str,
        *,
        secrets: bytes,
        checkpoint: bytes | None = None,
        cosignature: bytes | None = None,
        set_: str = "",
        volume: int = 1,
        volumes: int = 1,
    ) -> Envelope:
        """Sign the envelope and write BagIt's files; the bag is whole and durable when this returns.

        `secrets`: the source's, sealed as for a deposit. See `Envelope` for the others. Raises: OSError, LimitError.
        """
        envelope = Envelope(
            self.place.bag, self.place.origin, self.place.unit, self.place.source, created, self._sealing, self._key,
            secrets, tuple(self._packs), tuple(self._statements), checkpoint, cosignature, set_, volume, volumes,
        )  # fmt: skip
        self._write(ENVELOPE_PATH, sign_envelope(envelope, signer))
        tags = {DECLARATION_NAME: DECLARATION, INFO_NAME: encode_info(envelope, self._payload, created, software)}
        for algorithm in ALGORITHMS:
            tags[manifest_name(algorithm)] = encode_manifest(self._payload, algorithm)
        for name, body in tags.items():
            _write_file(self._folder / name, body)
        listed = {name: ListedHashes(body) for name, body in tags.items()}
        for algorithm in ALGORITHMS:
            _write_file(self._folder / tag_manifest_name(algorithm), encode_manifest(listed, algorithm))
        return envelope

    def _write(self, path: str, body: bytes) -> None:
        _write_file(self._folder / path, body)
        self._keep(path, ListedHashes(body))

    def _keep(self, path: str, hashing: ListedHashes) -> None:
        self._payload[path] = hashing
        self.size += hashing.size


def source_parts(descriptor: int, most: int = MAX_PACK_BYTES) -> Iterator[bytes]:
    """Read an open file from its start in parts, up to a little over `most` bytes."""
    with os.fdopen(os.dup(descriptor), "rb", buffering=0) as file:
        size = 0
        while size <= most and (part := file.read(1 << 18)):
            size += len(part)
            yield part


def make_bag_id() -> str:
    """Make the id of a new bag or set of bags."""
    return os.urandom(16).hex()


def remove_bag(folder: Path) -> None:
    """Remove a bag's folder and what is in it; what is no file or folder of ours stays, and then the folder does."""
    for base, folders, files in os.walk(folder, topdown=False):
        for name in files:
            (Path(base) / name).unlink(missing_ok=True)
        for name in folders:
            path = Path(base) / name
            with suppress(OSError):
                path.unlink() if path.is_symlink() else path.rmdir()
    with suppress(OSError):
        folder.rmdir()
    with suppress(OSError):
        sync_folder(folder.parent)


def _named(parts: Iterable[bytes], namer: PackNamer) -> Iterator[bytes]:
    for part in parts:
        namer.update(part)
        yield part


def _write_file(path: Path, body: bytes) -> None:
    with NewFile(path.parent, path.name) as file:
        file.write(body)
        file.commit_over(path)
