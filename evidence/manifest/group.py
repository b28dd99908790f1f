# SPDX-License-Identifier: Apache-2.0
"""What a manifest notes of a group: sources whose views were opened at one moment. Pure.

    group <name>@<began> <place>/<members> view <opening> <opened> spread <seconds>
    group <name>@<began> without <source> <code>

`<name>@<began>` is the group's id: a name of the settings, and when the first of its views was begun to be opened. The
source's state is of a moment between `opening` and `opened`; `spread` is from `began` until the last view was open, so
no two states of the group are further apart. Times and seconds have six digits. The second line tells of a member that
had failed when this manifest was written, with the agent's error code. All in the unit's clock. They are notes: no
statement's grammar knows of groups. Invariant: one note has one spelling. Source: docs/decisions/0050.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from evidence.encode import encode_time, parse_decimal, parse_time
from evidence.errors import FormatError
from evidence.manifest.grammar import check_source_name, expect_same

MAX_MEMBERS: Final = 64
PREFIX: Final = "group "
_VIEW = re.compile(
    r"group ([^@ ]+)@([^ ]+) ([0-9]+)/([0-9]+) view ([^ ]+) ([^ ]+) spread ([0-9]+)\.([0-9]{6})", re.ASCII
)
_LACK = re.compile(r"group ([^@ ]+)@([^ ]+) without ([^ ]+) (JS-[0-9]{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class GroupId:
    """Which group, and which time of it."""

    name: str
    began: datetime

    def __post_init__(self) -> None:
        check_source_name(self.name)

    def encode(self) -> str:
        """Write `<name>@<began>`."""
        return f"{self.name}@{encode_time(self.began)}"


@dataclass(frozen=True, slots=True)
class GroupView:
    """A member's view: the `place`-th of `members` in the settings, its state of a moment between `opening` and `opened`.

    >>> from datetime import UTC
    >>> at = datetime(2026, 11, 22, 1, tzinfo=UTC)
    >>> GroupView(GroupId("nightly", at), 1, 3, at, at + timedelta(seconds=0.25), timedelta(seconds=1.5)).encode()[:45]
    'group nightly@2026-11-22T01:00:00.000000Z 1/3'
    >>> GroupView(GroupId("nightly", at), 1, 3, at, at + timedelta(seconds=0.25), timedelta(seconds=1.5)).encode()[46:]
    'view 2026-11-22T01:00:00.000000Z 2026-11-22T01:00:00.250000Z spread 1.500000'
    """

    group: GroupId
    place: int
    members: int
    opening: datetime
    opened: datetime
    spread: timedelta

    def __post_init__(self) -> None:
        if not 1 <= self.place <= self.members <= MAX_MEMBERS:
            raise FormatError(f"a group has 1 to {MAX_MEMBERS} members, found {self.place} of {self.members}")
        if not self.group.began <= self.opening <= self.opened <= self.group.began + self.spread:
            raise FormatError(f"the views of group {self.group.encode()} were opened outside of its span")

    def encode(self) -> str:
        """Write the note."""
        microseconds = self.spread // timedelta(microseconds=1)
        return (
            f"{PREFIX}{self.group.encode()} {self.place}/{self.members} view {encode_time(self.opening)}"
            f" {encode_time(self.opened)} spread {microseconds // 1_000_000}.{microseconds % 1_000_000:06}"
        )


@dataclass(frozen=True, slots=True)
class GroupLack:
    """A member of the group, `source`, that had failed with `code` when the manifest was written."""

    group: GroupId
    source: str
    code: str

    def __post_init__(self) -> None:
        check_source_name(self.source)
        if not re.fullmatch(r"JS-[0-9]{4}", self.code, re.ASCII):
            raise FormatError(f"an error's code is JS- and four digits, found {self.code!r:.60}")

    def encode(self) -> str:
        """Write the note."""
        return f"{PREFIX}{self.group.encode()} without {self.source} {self.code}"


def parse_group_note(note: str) -> GroupView | GroupLack | None:
    """Read a manifest's note; None if it is none of a group's. Raises: FormatError if it begins as one and is not."""
    if not note.startswith(PREFIX):
        return None
    found: GroupView | GroupLack
    if (view := _VIEW.fullmatch(note)) is not None:
        name, began, place, members, opening, opened, seconds, fraction = view.groups()
        found = GroupView(
            GroupId(name, parse_time(began, "the beginning of a group")),
            parse_decimal(place, "the place in a group"),
            parse_decimal(members, "the members of a group"),
            parse_time(opening, "the opening of a view"),
            parse_time(opened, "the opening of a view"),
            timedelta(
                seconds=parse_decimal(seconds, "the spread of a group", 10**9), microseconds=int(fraction)
            ),
        )  # fmt: skip
    elif (lack := _LACK.fullmatch(note)) is not None:
        name, began, source, code = lack.groups()
        found = GroupLack(GroupId(name, parse_time(began, "the beginning of a group")), source, code)
    else:
        raise FormatError(f"a note that begins with {PREFIX!r} must be a group's, found {note!r:.120}")
    expect_same(found.encode().encode(), note.encode(), "a group's note")
    return found
