# SPDX-License-Identifier: Apache-2.0
"""Who speaks for whom, from when to when: the statement keys of units, as a verifier or the center believes them. Pure.

A key speaks for a unit within bounds: of time (`since` included, `until` excluded), and of sequence numbers per source.
A signature carries no time of its own. That it was made before `until` must be proven by others; the center's word
(`received`) can only speak against it. So there are three answers: valid, invalid, and cannot tell.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from evidence.errors import FormatError
from evidence.keys.key import KeyType, VerificationKey


class Standing(Enum):
    """Whether a key spoke for its unit when it signed."""

    VALID = "valid"
    INVALID = "invalid"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class SequenceRange:
    """Sequence numbers of one source, both bounds included; `last` None: without end."""

    source: str
    first: int
    last: int | None = None

    def __post_init__(self) -> None:
        if self.first < 1 or (self.last is not None and self.last < self.first):
            raise FormatError(f"no statement of {self.source} has a sequence from {self.first} to {self.last}")

    def covers(self, source: str, sequence: int) -> bool:
        """Tell whether `sequence` of `source` is in the range."""
        return self.source == source and self.first <= sequence and (self.last is None or sequence <= self.last)


@dataclass(frozen=True, slots=True)
class UnitKey:
    """A key (type 01, named UNIT) that speaks for its unit. No `sequences`: for all statements of all its sources."""

    key: VerificationKey
    since: datetime | None = None
    until: datetime | None = None
    sequences: tuple[SequenceRange, ...] = ()

    def __post_init__(self) -> None:
        if self.key.kind is not KeyType.ED25519:
            raise FormatError(f"the statement key of unit {self.key.name} must be an Ed25519 key (type 01)")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise FormatError(f"the key of unit {self.key.name} ends at {self.until}, before it begins at {self.since}")

    @property
    def unit(self) -> str:
        """The unit for which the key speaks."""
        return self.key.name

    def covers(self, source: str, sequence: int) -> bool:
        """Tell whether the key may sign statement `sequence` of `source`."""
        return not self.sequences or any(r.covers(source, sequence) for r in self.sequences)

    def standing(self, received: datetime, proven: datetime | None) -> Standing:
        """Judge a signature that the center says it had at `received`, and others prove to have existed at `proven`."""
        if self.since is not None and (received < self.since or (proven is not None and proven < self.since)):
            return Standing.INVALID
        if self.until is None or (proven is not None and proven < self.until):
            return Standing.VALID
        return Standing.INVALID if received >= self.until else Standing.UNPROVEN


class Trust:
    """The keys of all units that somebody believes. Immutable."""

    def __init__(self, keys: Iterable[UnitKey]) -> None:
        self._keys = tuple(keys)
        publics = [key.key.public for key in self._keys]
        if len(set(publics)) != len(publics):
            raise FormatError("one key stands for two units, or twice for one")

    def units(self) -> tuple[str, ...]:
        """Give the names of all units with a key, each once, in the order of their first keys."""
        return tuple(dict.fromkeys(key.unit for key in self._keys))

    def keys_for(self, unit: str, source: str, sequence: int) -> tuple[UnitKey, ...]:
        """Give the keys that may sign this statement; maybe none."""
        return tuple(key for key in self._keys if key.unit == unit and key.covers(source, sequence))
