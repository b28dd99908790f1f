# SPDX-License-Identifier: Apache-2.0
"""Where things lie in a bag, and BagIt's own files. Pure.

    bagit.txt                             version 1.0, UTF-8
    bag-info.txt                          for people and other tools; never read back
    manifest-sha256.txt, -sha512.txt      lines `<hex> SP SP <path> LF` by ascending path: every file below data/
    tagmanifest-sha256.txt, -sha512.txt   the same for the files above
    data/envelope.note                    who sends what (`envelope.py`)
    data/packs/<sealed name>.pack         sealed packs (`seal.py`)
    data/statements/<source>/<sequence>.note

Our paths have no characters that BagIt escapes. Invariant: a path that is read from a bag is taken for one of these
forms or refused; none leads out of the bag. Source: RFC 8493 (BagIt 1.0).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from evidence.bag.envelope import MAX_PACKS, MAX_STATEMENTS, BaggedPack, BaggedStatement, Envelope, check_source
from evidence.digest import ListedHashes
from evidence.encode import parse_decimal
from evidence.errors import FormatError, LimitError

DECLARATION: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
DECLARATION_NAME: Final = "bagit.txt"
INFO_NAME: Final = "bag-info.txt"
FETCH_NAME: Final = "fetch.txt"
ENVELOPE_PATH: Final = "data/envelope.note"
ALGORITHMS: Final = ("sha256", "sha512")
MAX_FILES: Final = MAX_PACKS + MAX_STATEMENTS + 1
MAX_MANIFEST_BYTES: Final = MAX_FILES * 320
_DIGITS: Final = {"sha256": 64, "sha512": 128}
_LINE = re.compile(r"([0-9a-f]+)  ([!-~]{1,255})", re.ASCII)
_PACK = re.compile(r"data/packs/([0-9a-f]{64})\.pack", re.ASCII)
_NOTE = re.compile(r"data/statements/([A-Za-z0-9._-]{1,64})/([0-9]{1,16})\.note", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def manifest_name(algorithm: str) -> str:
    """Give the name of the list of payload files."""
    return f"manifest-{algorithm}.txt"


def tag_manifest_name(algorithm: str) -> str:
    """Give the name of the list of the other files."""
    return f"tagmanifest-{algorithm}.txt"


def pack_path(pack: BaggedPack) -> str:
    """Give where a sealed pack lies in its bag."""
    return f"data/packs/{pack.sealed}.pack"


def statement_path(source: str, statement: BaggedStatement) -> str:
    """Give where a statement lies in its bag."""
    return f"data/statements/{source}/{statement.sequence}.note"


def payload_paths(envelope: Envelope) -> set[str]:
    """Give every payload file that a bag with this envelope has."""
    packs = {pack_path(pack) for pack in envelope.packs}
    return packs | {statement_path(envelope.source, s) for s in envelope.statements} | {ENVELOPE_PATH}


def check_payload_path(path: str) -> None:
    """Raises: FormatError unless `path` is one that a payload file of ours can have."""
    note = _NOTE.fullmatch(path)
    if note is not None:
        check_source(note[1])
        parse_decimal(note[2], "a sequence in a path")
    elif path != ENVELOPE_PATH and not _PACK.fullmatch(path):
        raise FormatError(f"{path!r:.120} is no path of a file in a bag of ours")


def encode_manifest(files: Mapping[str, ListedHashes], algorithm: str) -> bytes:
    """Write a list of hashes of files by their paths."""
    return "".join(f"{files[path].hex(algorithm)}  {path}\n" for path in sorted(files)).encode()


def parse_manifest(raw: bytes, algorithm: str, *, tags: bool = False) -> dict[str, str]:
    """Read a list of hashes; give hash by path. `tags`: of the files beside `data/`.

    Raises: FormatError, LimitError: not of the form above, a path twice, out of order, or that leads elsewhere.
    """
    what = (tag_manifest_name if tags else manifest_name)(algorithm)
    if len(raw) > MAX_MANIFEST_BYTES:
        raise LimitError(f"{what} has {len(raw)} bytes; at most {MAX_MANIFEST_BYTES} are read")
    text = raw.decode("ascii", "replace")
    if text and not text.endswith("\n"):
        raise FormatError(f"{what} is cut off: its last line has no end")
    found: dict[str, str] = {}
    last = ""
    for number, line in enumerate(text.split("\n")[:-1], 1):
        match = _LINE.fullmatch(line)
        if match is None or len(match[1]) != _DIGITS[algorithm]:
            raise FormatError(f"line {number} of {what} is not `hash  path`: {line!r:.80}")
        path = match[2]
        if tags:
            _check_tag_path(path)
        else:
            check_payload_path(path)
        if path <= last:
            raise FormatError(f"line {number} of {what} is out of order: {path!r:.80} after {last!r:.80}")
        found[path] = match[1]
        last = path
    return found


def encode_info(envelope: Envelope, payload: Mapping[str, ListedHashes], moment: datetime, software: str) -> bytes:
    """Write bag-info.txt; `moment`: when the bag was made."""
    octets = sum(file.size for file in payload.values())
    lines = (
        ("Bag-Software-Agent", software),
        ("Bagging-Date", f"{moment:%Y-%m-%d}"),
        ("External-Identifier", envelope.bag),
        ("Bag-Group-Identifier", envelope.set_),
        ("Bag-Count", f"{envelope.volume} of {envelope.volumes}"),
        ("Payload-Oxum", f"{octets}.{len(payload)}"),
        ("Source-Organization", envelope.unit),
        ("Internal-Sender-Identifier", envelope.source),
    )
    return "".join(f"{name}: {value}\n" for name, value in lines).encode()


def _check_tag_path(path: str) -> None:
    if not _TAG.fullmatch(path) or not path.strip("."):
        raise FormatError(f"{path!r:.120} is no path of a file beside the payload of a bag")
