# SPDX-License-Identifier: Apache-2.0
"""What an audit finds, as data: which file, what is wrong with it, which table and keys, which snapshots. Pure.

A finding is damage unless it is a note. One damaged thing is one finding, whatever number of snapshots needs it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from terminal.errors import words_of
from terminal.language import Text


class Thing(StrEnum):
    """What is damaged."""

    PACK = "pack"
    OBJECT = "object"
    PAGE = "page"
    BLOB = "blob"
    SNAPSHOT = "snapshot"
    STATEMENT = "statement"
    ENTRY = "entry"
    TILE = "tile"
    BUNDLE = "entry bundle"
    CHECKPOINT = "checkpoint"
    RECEIPT = "receipt"
    LEDGER = "ledger.sqlite"
    CATALOG = "catalog"
    UNIT = "unit"
    SOURCE = "source"
    KEY = "key"
    SETTINGS = "settings"


HINTS: dict[Thing, Text] = {
    Thing.CATALOG: Text(
        zh="停止中心后运行 jinsuo-center rebuild；不会丢失任何内容",
        en="stop the center and run `jinsuo-center rebuild`; nothing is lost",
    ),
    Thing.LEDGER: Text(
        zh="不要启动中心；从备份恢复 ledger 目录，再让各单位联系一次",
        en="do not start the center; restore the ledger folder from its backup, then let the agents call",
    ),
    Thing.KEY: Text(
        zh="从密钥备份恢复该文件",
        en="restore this file from the backup of the keys",
    ),
    Thing.UNIT: Text(zh="从备份恢复 units 目录中的该文件", en="restore this file below units/ from the backup"),
    Thing.SOURCE: Text(zh="从备份恢复 units 目录中的该文件", en="restore this file below units/ from the backup"),
}
DATA_HINT = Text(
    zh="从镜像或备份恢复该文件",
    en="restore this file from a mirror or a backup",
)


@dataclass(frozen=True, slots=True, order=True)
class SnapshotName:
    """A statement, by its place in its source's chain."""

    unit: str
    source: str
    sequence: int

    def __str__(self) -> str:
        return f"{self.unit} {self.source}#{self.sequence}"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys of a table from `first` on, and before `next` (None: to the table's end). Escaped, as nodes have them."""

    first: bytes
    next: bytes | None

    def __str__(self) -> str:
        until = "…" if self.next is None else _show(self.next)
        return f"[{_show(self.first)}, {until})"


@dataclass(frozen=True, slots=True)
class Finding:
    """One damaged thing. `where` is a file below the center's folder; `table` and `keys` say which rows are in it.

    `is_note`: nothing is damaged, but somebody should know.
    """

    thing: Thing
    where: str
    reason: Text
    table: str | None = None
    keys: KeyRange | None = None
    snapshots: tuple[SnapshotName, ...] = ()
    is_note: bool = False

    @property
    def hint(self) -> Text:
        """Give what to do."""
        return HINTS.get(self.thing, DATA_HINT)


@dataclass(slots=True)
class Reading:
    """How much an audit read."""

    bytes_: int = 0
    packs: int = 0
    objects: int = 0
    pages: int = 0
    rows: int = 0
    blobs: int = 0
    statements: int = 0
    snapshots: int = 0
    entries: int = 0
    tiles: int = 0
    receipts: int = 0
    skipped_packs: int = 0
    skipped_pages: int = 0


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All findings, damage first, and how much was read for them. `percent` is what was asked for."""

    percent: float
    reading: Reading
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing that was read is damaged."""
        return not any(not finding.is_note for finding in self.findings)


@dataclass(slots=True)
class Findings:
    """Collect findings; the same damage, met from several snapshots, becomes one."""

    _found: dict[tuple[Thing, str, Text, str | None, KeyRange | None, bool], set[SnapshotName]] = field(
        default_factory=dict
    )

    def add(
        self,
        thing: Thing,
        where: str,
        reason: Text | Exception | str,
        *,
        table: str | None = None,
        keys: KeyRange | None = None,
        snapshots: Iterable[SnapshotName] = (),
        is_note: bool = False,
    ) -> None:
        """Take a finding. `reason` is a str only if a library or `evidence` said it."""
        self._found.setdefault((thing, where, words_of(reason), table, keys, is_note), set()).update(snapshots)

    def has(self, where: str) -> bool:
        """Tell whether the file `where` is known to be damaged."""
        return any(key[1] == where and not key[5] for key in self._found)

    def all(self) -> tuple[Finding, ...]:
        """Give all findings: damage before notes, else in the order in which they were found.

        A damaged pack touches the snapshots that its objects do.
        """
        below: dict[str, set[SnapshotName]] = {}
        for (_, where, *_), snapshots in self._found.items():
            below.setdefault(where, set()).update(snapshots)
        found = [
            Finding(
                thing, where, reason, table, keys, tuple(sorted(below[where] if thing is Thing.PACK else names)), note
            )
            for (thing, where, reason, table, keys, note), names in self._found.items()
        ]
        return tuple(sorted(found, key=lambda finding: finding.is_note))


def _show(key: bytes) -> str:
    text = key.decode("utf-8", "backslashreplace").replace("\t", " ")
    return text if len(text) <= 48 else text[:48] + "…"
