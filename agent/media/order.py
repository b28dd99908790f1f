# SPDX-License-Identifier: Apache-2.0
"""What is asked for when media are written, and what came of it, as data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from agent.settings.media import MediaSettings
from evidence.medium.number import MediumNumber


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks for; None: as the settings say."""

    to: Path
    volume_size: int | None = None
    image: bool = False
    copies: str | None = None
    redundancy: int | None = None

    def settle(self, settings: MediaSettings) -> "Order":
        """Give the order that it is under these settings."""
        return Order(
            self.to,
            settings.volume_size if self.volume_size is None else self.volume_size,
            self.image,
            (settings.copies if self.copies is None else self.copies).replace(",", ""),
            settings.redundancy if self.redundancy is None else self.redundancy,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """Where to, in volumes of `volume_size` bytes, as images or folders, copies by letter, with how much PAR2 in percent."""

    to: Path
    volume_size: int
    image: bool
    copies: str
    redundancy: int


class Choice(StrEnum):
    """What is written."""

    NEW = "new"
    """A new snapshot, and all that waits."""
    ALL = "all"
    """Every object of the newest snapshot, whatever the center holds; of a new one, if they are not all here."""
    WAITING = "waiting"
    """What waits in the spool; nothing is read."""


@dataclass(frozen=True, slots=True)
class WrittenMedium:
    """A medium that was written and read back."""

    number: MediumNumber
    path: Path
    packs: int
    size: int


@dataclass(frozen=True, slots=True)
class MediaOutcome:
    """What a writing ended in. `resumed`: it went on with one that was cut; `skipped`: media that were done before."""

    source: str
    batch: str
    volumes: int
    statements: tuple[int, ...]
    media: tuple[WrittenMedium, ...]
    until: datetime
    resumed: bool
    skipped: int


class SetState(StrEnum):
    """How a writing stands."""

    UNFINISHED = "unfinished"
    AWAITED = "awaited"
    LATE = "late"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class SetStatus:
    """A writing, for people."""

    source: str
    batch: str
    set_id: str
    volumes: int
    copies: str
    packs: int
    statements: tuple[int, ...]
    written: datetime
    until: datetime
    state: SetState


@dataclass(frozen=True, slots=True)
class ReceiptOutcome:
    """What a file of receipts has brought: sequences that are registered or stored now, and what is still lacking."""

    source: str
    stored: tuple[int, ...]
    registered: tuple[int, ...]
    missing_packs: int
    refused: tuple[str, ...]
    waiting: int
