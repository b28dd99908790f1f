# SPDX-License-Identifier: Apache-2.0
"""What has come of each set of media: kept as the envelopes of the bags that were read, and judged by what is stored.

    media/sets/<set>/<volume>.note     the envelope of a volume's bag, as it was signed
    media/sets/<set>/<volume>.whole    empty: a volume of which not even the envelope could be read

The id of a set is written on its media for all to read, and another unit may sign it too: so a set is asked for by its
unit and source, and only their envelopes count. Names of volumes begin with the unit's fonds: none takes another's place.
What is lacking is not written down anywhere but computed: packs that an envelope names and the catalog does not have. So
a pack that came on another copy, on a medium that was written again, or by the line, is lacking no more by itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from center.registry.catalog import Catalog
from center.registry.catalog_tables import StatementRow
from evidence.bag.envelope import MAX_ENVELOPE_BYTES, Envelope, read_envelope
from evidence.disk import write_over
from evidence.encode import parse_hex
from evidence.errors import EvidenceError
from evidence.manifest.entry import Level
from evidence.medium.missing import Missing
from evidence.medium.number import MediumNumber, fonds_of, parse_number

_NOTE, _WHOLE = ".note", ".whole"


@dataclass(frozen=True, slots=True)
class SetName:
    """Which set is meant: the id that its bags have in common, and whose it is."""

    id: str
    unit: str
    source: str

    @classmethod
    def of(cls, envelope: Envelope) -> "SetName":
        """Give the set of a bag. `envelope` is verified: the unit is the one that has signed it."""
        return cls(envelope.set_, envelope.unit, envelope.source)

    def has(self, number: MediumNumber) -> bool:
        """Tell whether a medium of this number can be of this set: whether it bears the unit's fonds."""
        return number.fonds == fonds_of(self.unit)


@dataclass(frozen=True, slots=True)
class SetReport:
    """How a set stands: volumes read and not, what is lacking of those read, statements that are stored and not."""

    name: SetName
    batch: str
    volumes: int
    unread: tuple[int, ...]
    lacking: tuple[Missing, ...]
    stored: tuple[int, ...]
    waiting: tuple[int, ...]

    @property
    def is_stored(self) -> bool:
        """Tell whether all statements of the set are stored."""
        return bool(self.stored) and not self.waiting


class SetMemory:
    """The sets of a center, in `folder`. One process."""

    def __init__(self, folder: Path, catalog: Catalog) -> None:
        self._folder = folder
        self._catalog = catalog

    def keep(self, number: MediumNumber, envelope: Envelope, raw: bytes) -> None:
        """Keep the envelope of a volume, which was verified; the number is of its set."""
        name = SetName.of(envelope)
        write_over(self._path(name, number, _NOTE), raw)
        self._path(name, number, _WHOLE).unlink(missing_ok=True)

    def keep_lost(self, name: SetName, number: MediumNumber) -> None:
        """Note that a volume was read, and nothing of it can be used."""
        parse_hex(name.id, "a set", 16)
        if name.has(number) and not self._path(name, number, _NOTE).exists():
            write_over(self._path(name, number, _WHOLE), b"")

    def envelopes(self, name: SetName) -> dict[MediumNumber, Envelope]:
        """Give the envelopes of a set by the number of their volume (of copy A)."""
        found: dict[MediumNumber, Envelope] = {}
        for path in sorted((self._folder / name.id).glob(f"*{_NOTE}")):
            try:
                number = parse_number(f"{path.stem}-A")
                envelope = read_envelope(path.read_bytes()[: MAX_ENVELOPE_BYTES + 1])[1]
            except EvidenceError:
                continue  # a torn note: the volume counts as unread, and is read again
            if SetName.of(envelope) == name:
                found[number] = envelope
        return found

    def logged(self, unit: str, source: str) -> Sequence[StatementRow]:
        """Give all statements of a source that are logged, in their order."""
        return self._catalog.statements(unit, source)

    def find_absent(self, envelope: Envelope) -> list[str]:
        """Give the packs that an envelope names and that are not stored."""
        has = self._catalog.has_pack
        return [pack.name for pack in envelope.packs if not has(envelope.unit, envelope.source, pack.name)]

    def is_complete(self, name: SetName, number: MediumNumber) -> bool:
        """Tell whether everything on a volume is here."""
        envelope = self.envelopes(name).get(number.as_copy("A"))
        return envelope is not None and not self.find_absent(envelope)

    def report(self, name: SetName, pending: Collection[str], *, no_more: bool) -> SetReport | None:
        """Tell how a set stands; None if nothing of it is known.

        `pending`: packs that are at hand and wait for others; `no_more`: volumes that were not read count as lacking.
        """
        envelopes = self.envelopes(name)
        numbers = [parse_number(f"{path.stem}-A") for path in sorted((self._folder / name.id).glob(f"*{_WHOLE}"))]
        lost = [number for number in numbers if name.has(number)]
        if not envelopes and not lost:
            return None
        first = next(iter(envelopes), None) or lost[0]
        stored, waiting = self._statements(envelopes.values())
        read = {number.volume for number in [*envelopes, *lost]}
        unread = tuple(volume for volume in range(1, first.volumes + 1) if volume not in read)
        lacking: list[Missing] = []
        if waiting or not stored:
            for number, envelope in envelopes.items():
                absent = sorted(pack for pack in self.find_absent(envelope) if pack not in pending)
                if absent:
                    lacking.append(Missing(name.unit, name.source, name.id, number, tuple(absent)))
            whole = [*lost, *(replace(first, volume=volume) for volume in unread if no_more)]
            lacking += [Missing(name.unit, name.source, name.id, number, ()) for number in whole]
        lacking.sort(key=lambda missing: missing.volume.volume)
        return SetReport(name, first.batch_name, first.volumes, unread, tuple(lacking), stored, waiting)

    def _statements(self, envelopes: Iterable[Envelope]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give the sequences of the set's statements that are stored, and of those that are not."""
        stored: set[int] = set()
        waiting: set[int] = set()
        for envelope in envelopes:
            for statement in envelope.statements:
                row = self._catalog.by_digest(statement.digest)
                # Statements of other kinds than snapshots have no content to wait for.
                is_done = row is not None and row.level is not Level.REGISTERED
                (stored if is_done else waiting).add(statement.sequence)
        return tuple(sorted(stored)), tuple(sorted(waiting))

    def _path(self, name: SetName, number: MediumNumber, suffix: str) -> Path:
        return self._folder / name.id / f"{number.volume_name}{suffix}"
