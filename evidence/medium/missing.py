# SPDX-License-Identifier: Apache-2.0
"""What is lacking of a medium, named so that the agent can write just that again. Pure.

    jinsuo/missing@v1
    unit X013
    source his
    set <32 hex digits: of the writing>
    volume X013-SJ-2026-003-02of06
    lacking whole | <decimal: number of packs>
    <pack's name, 64 hex digits>                          ascending

Small and strict: it is typed by no one, but travels by stick through many hands. One file for each volume.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from evidence.encode import parse_hex
from evidence.errors import FormatError, LimitError
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.medium.listing import MOST_FILES, SET_BYTES, decode_lines, take_field
from evidence.medium.number import MediumNumber, parse_number

HEADER: Final = "jinsuo/missing@v1"
MAX_MISSING_BYTES: Final = 4 << 20
_PACK = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HEAD_LINES: Final = 6


@dataclass(frozen=True, slots=True)
class Missing:
    """What is lacking of a volume: these packs, or, without any, the whole volume. `volume` is of copy A."""

    unit: str
    source: str
    set_id: str
    volume: MediumNumber
    packs: tuple[str, ...]

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)
        parse_hex(self.set_id, "a set", SET_BYTES)
        if len(self.packs) > MOST_FILES:
            raise LimitError(f"a volume has at most {MOST_FILES} packs, {len(self.packs)} are said to be lacking")
        if not all(_PACK.fullmatch(name) for name in self.packs):
            raise FormatError("what is lacking are packs, named by 64 lower-case hex digits")
        if any(first >= second for first, second in pairwise(self.packs)):
            raise FormatError("the packs that are lacking do not ascend")

    @property
    def file_name(self) -> str:
        """Give the name of its file."""
        return f"missing-{self.volume.volume_name}.txt"

    def encode(self) -> bytes:
        """Write it."""
        lacking = str(len(self.packs)) if self.packs else "whole"
        head = [
            HEADER, f"unit {self.unit}", f"source {self.source}", f"set {self.set_id}",
            f"volume {self.volume.volume_name}", f"lacking {lacking}",
        ]  # fmt: skip
        return "".join(f"{line}\n" for line in [*head, *self.packs]).encode()


def parse_missing(raw: bytes) -> Missing:
    """Read a file that names what is lacking. Raises: FormatError, LimitError."""
    if len(raw) > MAX_MISSING_BYTES:
        raise LimitError(f"such a file has at most {MAX_MISSING_BYTES} bytes, this one has {len(raw)}")
    lines = decode_lines(raw, "the file that names what is lacking")
    if lines[:1] != [HEADER] or len(lines) < _HEAD_LINES:
        raise FormatError(f"a file that names what is lacking begins with {HEADER} and five lines")
    missing = Missing(
        take_field(lines[1], "unit"),
        take_field(lines[2], "source"),
        take_field(lines[3], "set"),
        parse_number(take_field(lines[4], "volume") + "-A"),
        tuple(lines[_HEAD_LINES:]),
    )
    if missing.encode() != raw:
        raise FormatError("the file that names what is lacking is not in its one spelling")
    return missing
