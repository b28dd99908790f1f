# SPDX-License-Identifier: Apache-2.0
"""Read one bag from a folder that strangers may have filled. Nothing outside the folder is ever opened.

What is named in the envelope is read, and nothing else; a symbolic link, or anything but files and folders, anywhere in
the bag refuses all of it. Files are opened without following links, so one that is put in place of a file between two
looks is refused too. Sizes are bounded before anything is kept. A damaged file is named (`Damage`), and the others can
be read all the same. Reading verifies signatures nowhere: `verify_envelope` does.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from evidence.bag.envelope import (
    MAX_ENVELOPE_BYTES,
    MAX_NOTE_BYTES,
    BaggedPack,
    BaggedStatement,
    Envelope,
    read_envelope,
)
from evidence.bag.layout import (
    ALGORITHMS,
    DECLARATION,
    DECLARATION_NAME,
    ENVELOPE_PATH,
    FETCH_NAME,
    MAX_FILES,
    MAX_MANIFEST_BYTES,
    manifest_name,
    pack_path,
    parse_manifest,
    payload_paths,
    statement_path,
    tag_manifest_name,
)
from evidence.bag.seal import unseal_pack
from evidence.digest import ListedHashes, PackNamer, sha256
from evidence.errors import EvidenceError, FormatError, LimitError
from evidence.note.signed import Note

_CHUNK: Final = 1 << 18
_MAX_DEPTH: Final = 4


class DamagedError(FormatError):
    """A file of a bag is missing, cut off, or has other bytes than its envelope says. Attribute: `path` in the bag."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a bag that is not as it should be, and what is wrong with it, as one sentence."""

    path: str
    reason: str


class BagReader:
    """A bag in a folder. Attributes: `note`, `envelope` (nothing is verified), `sizes` of all files by path."""

    def __init__(self, folder: Path) -> None:
        """Look at the files and read the envelope.

        Raises: DamagedError if there is no envelope, or it cannot be read; FormatError: links, special files, fetch.txt;
        LimitError; OSError.
        """
        self._folder = folder
        self.sizes = _survey(folder)
        if FETCH_NAME in self.sizes:
            raise FormatError(f"the bag has a {FETCH_NAME}: parts of it would have to be fetched from elsewhere")
        try:
            self.note: Note
            self.envelope: Envelope
            self.note, self.envelope = read_envelope(self.read(ENVELOPE_PATH, MAX_ENVELOPE_BYTES))
        except DamagedError:
            raise
        except EvidenceError as err:
            raise DamagedError(f"{ENVELOPE_PATH} cannot be read: {err}", path=ENVELOPE_PATH) from err

    def find_absent(self) -> list[str]:
        """Give the payload files that are not there, or not in their full size yet; sorted."""
        packs = {pack_path(pack): pack.size for pack in self.envelope.packs}
        return sorted(
            path
            for path in payload_paths(self.envelope)
            if path not in self.sizes or self.sizes[path] < packs.get(path, 1)
        )

    def find_damaged_lists(self) -> list[Damage]:
        """Hold BagIt's own files against each other and the envelope, by their bytes; payload is not read for it.

        Damage there, or a file that the envelope does not name, harms nothing that is read: it is told, for people.
        """
        found = [
            Damage(ascii(path)[1:-1], "the envelope does not name this file")
            for path in sorted(self.sizes)
            if path.startswith("data/") and path not in payload_paths(self.envelope)
        ]
        bodies: dict[str, bytes] = {}
        for name in (DECLARATION_NAME, *map(manifest_name, ALGORITHMS), *map(tag_manifest_name, ALGORITHMS)):
            try:
                bodies[name] = self.read(name, MAX_MANIFEST_BYTES)
                self._check_list(name, bodies)
            except EvidenceError as err:
                found.append(Damage(name, str(err)))
        return found

    def read_lists(self) -> dict[str, dict[str, str]]:
        """Give each readable list of payload hashes: by algorithm, then by path."""
        found: dict[str, dict[str, str]] = {}
        for algorithm in ALGORITHMS:
            try:
                found[algorithm] = parse_manifest(self.read(manifest_name(algorithm), MAX_MANIFEST_BYTES), algorithm)
            except EvidenceError:
                continue  # `find_damaged_lists` tells
        return found

    def open_pack(self, pack: BaggedPack, data_key: bytes) -> Iterator[bytes]:
        """Give the bytes of a pack, unsealed, as they are read; memory: one frame.

        Raises, while it is read or at its end: DamagedError: absent, cut off, or other bytes than its name says, whatever
        they unseal to. FormatError: it is what was sealed, and does not open with this key.
        """
        path = pack_path(pack)
        namer = PackNamer()
        parts = self._parts(path, pack.size, namer)
        try:
            yield from unseal_pack(parts, data_key)
        except DamagedError:
            raise
        except EvidenceError as err:
            for _ in parts:
                pass  # to its end: whether it was damaged decides what is to be done
            if namer.name() != pack.sealed:
                raise DamagedError(f"{path} is damaged: {err}", path=path) from err
            raise
        if namer.name() != pack.sealed:
            raise DamagedError(f"{path} is damaged: its bytes give the name {namer.name()}", path=path)

    def read_statement(self, statement: BaggedStatement) -> bytes:
        """Give a statement's note, byte for byte as it was put in. Raises: DamagedError."""
        path = statement_path(self.envelope.source, statement)
        raw = self.read(path, MAX_NOTE_BYTES)
        if sha256(raw) != statement.note:
            raise DamagedError(f"{path} is damaged: its SHA-256 is {sha256(raw).hex()}", path=path)
        return raw

    def read(self, path: str, most: int) -> bytes:
        """Give the bytes of a small file. Raises: DamagedError: absent, or over `most` bytes; FormatError: no file."""
        size = self.sizes.get(path)
        if size is None:
            raise DamagedError(f"{path} is missing", path=path)
        if size > most:
            raise DamagedError(f"{path} has {size} bytes; at most {most} are read", path=path)
        return b"".join(self._parts(path, size))

    def _parts(self, path: str, size: int, namer: PackNamer | None = None) -> Iterator[bytes]:
        """Read a file of exactly `size` bytes. Raises: DamagedError."""
        if self.sizes.get(path) != size:
            found = self.sizes.get(path)
            raise DamagedError(
                f"{path} is missing" if found is None else f"{path} has {found} of {size} bytes", path=path
            )
        left = size
        try:
            with _open(self._folder, path) as file:
                while left and (part := file.read(min(left, _CHUNK))):
                    left -= len(part)
                    if namer is not None:
                        namer.update(part)
                    yield part
        except OSError as err:
            raise DamagedError(f"{path} cannot be read: {err.strerror or err}", path=path) from err
        if left:
            raise DamagedError(f"{path} ends {left} bytes before its end", path=path)

    def _check_list(self, name: str, bodies: dict[str, bytes]) -> None:
        """Raises: EvidenceError unless BagIt's file `name` is as it should be; those that it lists were read before."""
        if name == DECLARATION_NAME:
            if bodies[name] != DECLARATION:
                raise FormatError(f"{name} does not say BagIt 1.0 in UTF-8")
            return
        algorithm = name.rpartition("-")[2].removesuffix(".txt")
        if name == manifest_name(algorithm):
            listed = set(parse_manifest(bodies[name], algorithm))
            wrong = sorted(listed ^ payload_paths(self.envelope))
            if wrong:
                raise FormatError(f"{name} and the envelope differ about {wrong[0]} (and {len(wrong) - 1} more)")
            return
        for path, expected in parse_manifest(bodies[name], algorithm, tags=True).items():
            body = bodies[path] if path in bodies else self.read(path, MAX_MANIFEST_BYTES)
            if ListedHashes(body).hex(algorithm) != expected:
                raise FormatError(f"{path} has another hash than {name} says")


def _survey(folder: Path) -> dict[str, int]:
    """Give the sizes of all files of a bag by path. Raises: FormatError, LimitError, OSError."""
    sizes: dict[str, int] = {}
    waiting = [("", 0)]
    while waiting:
        base, depth = waiting.pop()
        with os.scandir(folder / base) as entries:
            for entry in entries:
                path = f"{base}{entry.name}"
                status = entry.stat(follow_symlinks=False)
                if entry.is_symlink() or getattr(status, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_REPARSE_POINT:
                    raise FormatError(f"the bag has a link, {path!r:.120}: what is not in it is not read")
                if stat.S_ISDIR(status.st_mode):
                    if depth == _MAX_DEPTH:
                        raise LimitError(f"the folders of a bag are at most {_MAX_DEPTH} deep, {path!r:.120} is deeper")
                    waiting.append((f"{path}/", depth + 1))
                elif stat.S_ISREG(status.st_mode):
                    sizes[path] = status.st_size
                else:
                    raise FormatError(f"{path!r:.120} in the bag is neither file nor folder")
                if len(sizes) + len(waiting) > MAX_FILES + 1000:
                    raise LimitError(f"a bag has at most {MAX_FILES} files")
    return sizes


def _open(folder: Path, path: str) -> BinaryIO:
    """Open a regular file of a bag, no part of whose path is a link. Raises: OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with ExitStack() as closing:
        if os.open in os.supports_dir_fd:
            *folders, name = path.split("/")
            above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            closing.callback(os.close, above)
            for each in folders:
                above = os.open(each, flags | os.O_DIRECTORY, dir_fd=above)
                closing.callback(os.close, above)
            descriptor = os.open(name, flags, dir_fd=above)
        else:  # pragma: no cover - Windows: links were refused when the bag was surveyed
            descriptor = os.open(folder / path, flags)
        file = os.fdopen(descriptor, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise OSError(f"{path} is no file")
        return file
