# SPDX-License-Identifier: Apache-2.0
"""The list of a medium: which it is, and every file on it with size and SHA-256; so nothing can be lacking unseen. Pure.

    jinsuo/medium@v1
    number X013-SJ-2026-003-01of06-A
    unit X013
    source his
    set <32 hex digits: what the bags of one writing have in common, and no other>
    written <time>
    files <decimal>
    <sha256 hex> SP <decimal size> SP <path>            ascending by the bytes of the path

The list itself, its second copy and the recovery data are not in it. It is no evidence: what a bag holds is checked by
itself. It serves to find damage and to name it. At most 40,000 files.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from evidence.digest import Sha256
from evidence.encode import encode_time, parse_decimal, parse_hex, parse_time
from evidence.errors import FormatError, LimitError
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.medium.layout import check_path
from evidence.medium.number import MediumNumber, parse_number

HEADER: Final = "jinsuo/medium@v1"
SET_BYTES: Final = 16
MOST_FILES: Final = 40_000
MAX_LISTING_BYTES: Final = 48 << 20
_HEAD_LINES: Final = 7


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file on a medium."""

    path: str
    size: int
    sha256: Sha256

    def __post_init__(self) -> None:
        check_path(self.path)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is on a medium. `set_id`: the one of its bags."""

    number: MediumNumber
    unit: str
    source: str
    set_id: str
    written: datetime
    files: tuple[ListedFile, ...]

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)
        parse_hex(self.set_id, "a set", SET_BYTES)
        if len(self.files) > MOST_FILES:
            raise LimitError(f"a medium has at most {MOST_FILES} files, this one lists {len(self.files)}")
        paths = [file.path.encode() for file in self.files]
        if any(first >= second for first, second in pairwise(paths)):
            raise FormatError("the files of a medium's list do not ascend")

    def encode(self) -> bytes:
        """Write it."""
        head = [
            HEADER, f"number {self.number}", f"unit {self.unit}", f"source {self.source}", f"set {self.set_id}",
            f"written {encode_time(self.written)}", f"files {len(self.files)}",
        ]  # fmt: skip
        lines = [f"{file.sha256.hex()} {file.size} {file.path}" for file in self.files]
        return "".join(f"{line}\n" for line in [*head, *lines]).encode()


def parse_listing(raw: bytes) -> Listing:
    """Read a medium's list. Raises: FormatError, LimitError."""
    if len(raw) > MAX_LISTING_BYTES:
        raise LimitError(f"a medium's list has at most {MAX_LISTING_BYTES} bytes, this one has {len(raw)}")
    lines = decode_lines(raw, "a medium's list")
    if lines[:1] != [HEADER] or len(lines) < _HEAD_LINES:
        raise FormatError(f"a medium's list begins with {HEADER} and six lines")
    listing = Listing(
        parse_number(take_field(lines[1], "number")),
        take_field(lines[2], "unit"),
        take_field(lines[3], "source"),
        take_field(lines[4], "set"),
        parse_time(take_field(lines[5], "written"), "written"),
        tuple(_parse_file(line) for line in lines[_HEAD_LINES:]),
    )
    if listing.encode() != raw:
        raise FormatError("a medium's list is not in its one spelling, or names another number of files")
    return listing


def decode_lines(raw: bytes, what: str) -> list[str]:
    """Give the lines of a text that ends with LF. Raises: FormatError."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise FormatError(f"{what} is not UTF-8") from err
    if not text.endswith("\n"):
        raise FormatError(f"{what} does not end with a line end: it is cut off")
    return text[:-1].split("\n")


def take_field(line: str, name: str) -> str:
    """Give the value of a line `name SP value`. Raises: FormatError."""
    if not line.startswith(f"{name} "):
        raise FormatError(f"the line {line!r:.80} should begin with {name!r}")
    return line[len(name) + 1 :]


def _parse_file(line: str) -> ListedFile:
    digest, _, rest = line.partition(" ")
    size, _, path = rest.partition(" ")
    return ListedFile(path, parse_decimal(size, "a file's size"), Sha256(parse_hex(digest, "a file's digest", 32)))
