# SPDX-License-Identifier: Apache-2.0
"""What this agent has written on media: a file for each writing, which serves until its receipt and is kept after it.

    media/<batch>.json    JCS {"batch","capacity","copies":letters,"done":[numbers],"format":"jinsuo/media-set@v1","redundancy",
                          "set","source","statements":[digests],"unit","until","volumes":[{"number","packs":[names]}],"written"}

`done` names the media (copies and all) that were written and read back; a writing that was cut goes on where it ended.
A writing is awaited while a statement of it is not stored and `until` has not come: so long its packs are on their way,
and do not travel by the line. Durable, one writer (the source's run lock). Times are arguments.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from agent.errors import MediumError, MediumUnknownError
from agent.journal import JournalEntry, State
from evidence.digest import Sha256
from evidence.disk import write_over
from evidence.encode import (
    Json,
    encode_json,
    encode_time,
    expect_integer,
    expect_list,
    expect_text,
    parse_hex,
    parse_json,
    parse_members,
    parse_time,
)
from evidence.errors import EvidenceError, FormatError
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.manifest.statement import SnapshotStatement
from evidence.medium.number import MOST_BATCHES, MediumNumber, parse_number
from terminal.language import Text

FORMAT: Final = "jinsuo/media-set@v1"
_MEMBERS: Final = {
    "batch", "capacity", "copies", "done", "format", "redundancy", "set", "source", "statements", "unit", "until", "volumes",
    "written",
}  # fmt: skip
_MOST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class WrittenVolume:
    """A volume: its number (of copy A) and the packs on it, in order."""

    number: MediumNumber
    packs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WrittenSet:
    """One writing of a source: all volumes and copies that were made together.

    `capacity`: bytes of a volume; `redundancy`: of PAR2, in percent; `copies`: their letters.
    """

    set_id: str
    unit: str
    source: str
    written: datetime
    until: datetime
    statements: tuple[Sha256, ...]
    volumes: tuple[WrittenVolume, ...]
    copies: str
    capacity: int
    redundancy: int
    done: tuple[MediumNumber, ...] = ()

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)
        parse_hex(self.set_id, "a set", 16)
        if not self.volumes or len({volume.number.batch_name for volume in self.volumes}) != 1:
            raise FormatError("a writing has volumes, all of one batch")
        if not self.copies or len(set(self.copies)) != len(self.copies):
            raise FormatError("a writing has copies, of different letters")

    @property
    def batch_name(self) -> str:
        """Give what all its numbers begin with."""
        return self.volumes[0].number.batch_name

    def todo(self, volume: WrittenVolume) -> list[MediumNumber]:
        """Give the media of a volume that are not done yet."""
        numbers = (volume.number.as_copy(copy) for copy in self.copies)
        return [number for number in numbers if number not in self.done]

    @property
    def is_finished(self) -> bool:
        """Tell whether all its media are done."""
        return not any(self.todo(volume) for volume in self.volumes)

    def is_awaited(self, states: Mapping[Sha256, State], now: datetime) -> bool:
        """Tell whether its receipt is awaited; `states` are those of the source's statements."""
        known = [states[digest] for digest in self.statements if digest in states]
        return now < self.until and any(state is not State.STORED for state in known)

    def has_arrived(self, states: Mapping[Sha256, State]) -> bool:
        """Tell whether all that it brought is stored."""
        return all(states.get(digest) is State.STORED for digest in self.statements)

    def encode(self) -> bytes:
        """Write it."""
        volumes: list[Json] = [
            {"number": volume.number.volume_name, "packs": list(volume.packs)} for volume in self.volumes
        ]
        return encode_json(
            {
                "batch": self.batch_name,
                "capacity": self.capacity,
                "copies": self.copies,
                "done": [str(number) for number in self.done],
                "format": FORMAT,
                "redundancy": self.redundancy,
                "set": self.set_id,
                "source": self.source,
                "statements": [digest.hex() for digest in self.statements],
                "unit": self.unit,
                "until": encode_time(self.until),
                "volumes": volumes,
                "written": encode_time(self.written),
            }
        )


class MediaSets:
    """The writings of an agent, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[WrittenSet]:
        """Give all writings, by number. Raises: MediumError: a file of them is damaged."""
        return [self._read(path) for path in sorted(self._folder.glob("*.json"))]

    def of(self, source: str) -> list[WrittenSet]:
        """Give the writings of a source, by number."""
        return [written for written in self.all() if written.source == source]

    def get(self, set_id: str) -> WrittenSet:
        """Give a writing by its id. Raises: MediumUnknownError."""
        for written in self.all():
            if written.set_id == set_id:
                return written
        raise MediumUnknownError(
            Text(zh=f"本机没有写过批次 {set_id}", en=f"this agent has written no media of the set {set_id}"),
            hint=Text(
                zh="`jinsuo-agent media list` 列出写过的载体；查看文件是否属于另一台采集端",
                en="`jinsuo-agent media list` tells what was written; the file may be for another agent",
            ),
        )

    def next_batch(self, fonds: str, kind: str, year: int) -> int:
        """Give the next free number of a batch. Raises: MediumError: the year has no more."""
        prefix = f"{fonds}-{kind}-{year:04}-"
        used = [int(path.stem[len(prefix) :]) for path in self._folder.glob(f"{prefix}[0-9][0-9][0-9].json")]
        batch = max(used, default=0) + 1
        if batch > MOST_BATCHES:
            raise MediumError(
                Text(zh=f"{year} 年的批次号已用完", en=f"the numbers of batches of {year} are used up"),
                hint=Text(zh="更改 media.kind，或等到新的一年", en="change media.kind, or wait for the new year"),
            )
        return batch

    def keep(self, written: WrittenSet) -> None:
        """Keep a writing, or what has become of it. Raises: MediumError."""
        try:
            write_over(self._folder / f"{written.batch_name}.json", written.encode())
        except OSError as err:
            raise MediumError(
                Text(
                    zh=f"{self._folder} 写不进去：{err.strerror or err}",
                    en=f"{self._folder} cannot be written: {err.strerror or err}",
                ),
                hint=Text(zh="在采集端目录所在的卷上腾出空间", en="make room on the volume of the agent's folder"),
            ) from err

    def mark_done(self, written: WrittenSet, numbers: Iterable[MediumNumber]) -> WrittenSet:
        """Note media that were written and read back."""
        changed = replace(written, done=(*written.done, *numbers))
        self.keep(changed)
        return changed

    def _read(self, path: Path) -> WrittenSet:
        try:
            return parse_set(path.read_bytes())
        except (OSError, EvidenceError) as err:
            raise MediumError(
                Text(
                    zh=f"写盘记录 {path} 读不出：{err}",
                    en=f"the note of what was written, {path}, cannot be read: {err}",
                ),
                hint=Text(
                    zh="把该文件移到别处；其数据包会改由线路发送",
                    en="move the file aside; what it names then travels by the line",
                ),
            ) from err


def states_of(entries: Iterable[JournalEntry]) -> dict[Sha256, State]:
    """Give the state of each statement by digest, but for those whose content will not come.

    One that is no snapshot has no content: it is all there as soon as it is logged.
    """
    return {
        entry.digest: entry.state
        if entry.kind == SnapshotStatement.kind or entry.state is State.TAKEN
        else State.STORED
        for entry in entries
        if not entry.is_given_up
    }


def parse_set(raw: bytes) -> WrittenSet:
    """Read the note of a writing. Raises: EvidenceError."""
    what = "the note of a writing"
    members = parse_members(parse_json(raw, what), what, _MEMBERS)
    if members["format"] != FORMAT:
        raise FormatError(f"{what} has the format {members['format']!r:.40}, expected {FORMAT}")
    volumes = [_parse_volume(value) for value in expect_list(members["volumes"], "volumes", _MOST)]
    statements = expect_list(members["statements"], "statements", _MOST)
    written = WrittenSet(
        expect_text(members["set"], "set"),
        expect_text(members["unit"], "unit"),
        expect_text(members["source"], "source"),
        parse_time(expect_text(members["written"], "written"), "written"),
        parse_time(expect_text(members["until"], "until"), "until"),
        tuple(Sha256(parse_hex(expect_text(value, "a statement"), "a statement", 32)) for value in statements),
        tuple(volumes),
        expect_text(members["copies"], "copies"),
        expect_integer(members["capacity"], "capacity"),
        expect_integer(members["redundancy"], "redundancy", 100),
        tuple(parse_number(expect_text(value, "done")) for value in expect_list(members["done"], "done", _MOST)),
    )
    if written.encode() != raw:
        raise FormatError(f"{what} is not in its one spelling")
    return written


def _parse_volume(value: Json) -> WrittenVolume:
    members = parse_members(value, "a volume", {"number", "packs"})
    number = parse_number(expect_text(members["number"], "number") + "-A")
    packs = expect_list(members["packs"], "packs", _MOST)
    return WrittenVolume(number, tuple(expect_text(name, "a pack's name") for name in packs))
