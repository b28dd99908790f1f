# SPDX-License-Identifier: Apache-2.0
"""The number of a medium, by the practice's rule. Pure.

    X013-SJ-2026-003-01of06-A      fonds, kind of data, year, batch, volume "of" volumes, copy

The same number stands inside the medium, in its label (`-` as `_`, upper case) and, by hand, on the disc. Copies of a
volume differ by the last letter alone. A fonds here is a unit's name without `-`, so a number has one reading.
Source: form 3 (备份载体目录) of the practice; ISO 9660, volume identifier: 32 characters of A-Z, 0-9 and `_`.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from evidence.errors import FormatError

MOST_VOLUMES: Final = 999
MOST_BATCHES: Final = 999
_NUMBER = re.compile(
    r"([A-Za-z0-9._]{1,64})-([A-Z]{2})-([0-9]{4})-([0-9]{3})-([0-9]{2,3})of([0-9]{2,3})-([A-Z])", re.ASCII
)
_FONDS = re.compile(r"[A-Za-z0-9._]{1,64}", re.ASCII)
_KIND = re.compile(r"[A-Z]{2}", re.ASCII)
_COPY = re.compile(r"[A-Z]", re.ASCII)
_LABEL_SIZE = 32


@dataclass(frozen=True, slots=True)
class MediumNumber:
    """One medium: `volume` of `volumes` of the batch `batch` of a year, as copy `copy`."""

    fonds: str
    kind: str
    year: int
    batch: int
    volume: int
    volumes: int
    copy: str

    def __post_init__(self) -> None:
        if not (_FONDS.fullmatch(self.fonds) and _KIND.fullmatch(self.kind) and _COPY.fullmatch(self.copy)):
            raise FormatError(f"{self.fonds}-{self.kind} … {self.copy} is no fonds, kind and copy of a medium's number")
        if not (1000 <= self.year <= 9999 and 1 <= self.batch <= MOST_BATCHES):
            raise FormatError(f"year {self.year}, batch {self.batch} have no place in a medium's number")
        if not 1 <= self.volume <= self.volumes <= MOST_VOLUMES:
            raise FormatError(f"volume {self.volume} of {self.volumes} has no place in a medium's number")

    @property
    def batch_name(self) -> str:
        """Give what all volumes and copies of one writing have in common: `X013-SJ-2026-003`."""
        return f"{self.fonds}-{self.kind}-{self.year:04}-{self.batch:03}"

    @property
    def volume_name(self) -> str:
        """Give what all copies of a volume have in common: `X013-SJ-2026-003-01of06`."""
        width = 3 if self.volumes > 99 else 2
        return f"{self.batch_name}-{self.volume:0{width}}of{self.volumes:0{width}}"

    @property
    def label(self) -> str:
        """Give the volume label of the medium; a long fonds loses its end.

        >>> MediumNumber("X013", "SJ", 2026, 3, 1, 6, "A").label
        'X013_SJ_2026_003_01OF06_A'
        """
        text = re.sub(r"[^A-Z0-9_]", "_", str(self).upper())
        rest = text[len(self.fonds) :]
        return text[: _LABEL_SIZE - len(rest)] + rest if len(text) > _LABEL_SIZE else text

    def as_copy(self, copy: str) -> "MediumNumber":
        """Give the number of another copy of the same volume. Raises: FormatError."""
        return replace(self, copy=copy)

    def __str__(self) -> str:
        return f"{self.volume_name}-{self.copy}"


def fonds_of(unit: str) -> str:
    """Give the fonds that stands in numbers for a unit: its name, `-` as `_`."""
    return unit.replace("-", "_")


def parse_number(text: str) -> MediumNumber:
    """Read a number. Raises: FormatError.

    >>> str(parse_number("X013-SJ-2026-003-01of06-A"))
    'X013-SJ-2026-003-01of06-A'
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise FormatError(f"{text!r:.100} is no number of a medium, such as X013-SJ-2026-003-01of06-A")
    number = MediumNumber(match[1], match[2], int(match[3]), int(match[4]), int(match[5]), int(match[6]), match[7])
    if str(number) != text:
        raise FormatError(f"{text!r:.100} is a number of a medium, but not in its one spelling, {number}")
    return number
