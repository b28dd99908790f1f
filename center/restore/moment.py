# SPDX-License-Identifier: Apache-2.0
"""A file's time in nanoseconds since 1970 as a canonical timestamptz, and back, for any year. Pure.

`datetime` knows microseconds and the years 1 to 9999; file systems know nanoseconds and more years.
Source: Hinnant, "chrono-compatible low-level date algorithms".
"""

import re
from typing import Final

from evidence.errors import FormatError

_DAY_NS: Final = 86_400_000_000_000
_MOMENT = re.compile(
    rb"([0-9]{4,})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?\+00( BC)?"
)


def parse_moment(value: bytes) -> int:
    """Give nanoseconds since 1970.

    >>> parse_moment(b"2026-11-22 01:12:33.12+00"), parse_moment(b"1969-12-31 23:59:59.999999999+00")
    (1795309953120000000, -1)

    Raises: FormatError for what is not a time, such as `infinity`.
    """
    match = _MOMENT.fullmatch(value)
    if match is None:
        raise FormatError(f"{value[:60]!r} is not a file's time")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    if match[8]:
        year = 1 - year
    seconds = (hour * 60 + minute) * 60 + second
    return _days(year, month, day) * _DAY_NS + seconds * 1_000_000_000 + int((match[7] or b"").ljust(9, b"0"))


def format_moment(moment_ns: int) -> bytes:
    """Write nanoseconds since 1970 canonically; the inverse of `parse_moment`."""
    days, rest = divmod(moment_ns, _DAY_NS)
    seconds, fraction = divmod(rest, 1_000_000_000)
    year, month, day = _civil(days)
    clock = b"%02d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)
    point = (b".%09d" % fraction).rstrip(b"0") if fraction else b""
    era = b" BC" if year < 1 else b""
    return b"%04d-%02d-%02d %b%b+00%b" % (year if year > 0 else 1 - year, month, day, clock, point, era)


def _days(year: int, month: int, day: int) -> int:
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
