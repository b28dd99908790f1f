# SPDX-License-Identifier: Apache-2.0
"""The road between agent and center, as everybody else sees it: one protocol, whatever the line is made of.

Promises of every road:
- Nothing that an answer says is verified here but its form and that the right center gave it. Receipts and checkpoints
  are verified by who asked (`send.py`).
- Every call may be repeated: the center takes the same pack, statement, deposit or cosignature again without harm.
- Every request shows the center the newest checkpoint that this agent has seen, so that a center restored from an old
  copy notices.
- Thread-safe. A call raises CenterDownError (nothing is lost, try again later), CenterRefusedError (it will be refused
  again; `refusal` is the center's code, empty where a proxy or SSH server refused), or PinError (the other end is not the
  center: nothing was sent to it); RoadError or SecretError where the settings of the road name what is not there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeAlias

from evidence.digest import ObjectId, Sha256
from evidence.note.signed import SignatureLine
from evidence.wire.heartbeat import Heartbeat
from evidence.wire.secrets import SourceSecrets

SeenCheckpoint: TypeAlias = Callable[[], bytes | None]
"""Give the note of the newest checkpoint that this agent has seen and verified, or None before the first."""


SendPace: TypeAlias = Callable[[int], None]
"""Told of the bytes of a pack that are to go next; returns when they may."""


def unpaced(size_bytes: int) -> None:
    """Send as fast as the line takes it."""


class PinKeeper(Protocol):
    """Remembers which TLS keys the center has announced. Thread-safe."""

    def announced(self) -> tuple[Sha256, ...]:
        """Give the keys that may follow the pinned one."""

    def learn(self, raw: bytes) -> None:
        """Take the center's announcements, verified and durable. Raises: CenterRefusedError if they do not hold."""

    def use(self, spki: Sha256) -> None:
        """Take note that the center uses an announced key: from now on it is the pinned one."""


@dataclass(frozen=True, slots=True)
class SubmitAnswer:
    """What became of a statement: the receipt's bytes once it is logged, and what is missing of its content."""

    receipt: bytes | None
    missing: tuple[ObjectId, ...] = ()


class Transport(Protocol):
    """One road to the center. Close it, or use it as a context manager."""

    def missing(self, source: str, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Give those of `ids` that the center does not have."""

    def put_pack(self, source: str, name: str, path: Path) -> None:
        """Send the pack `name` that lies in the file `path`; it is durable at the center when this returns."""

    def submit(self, source: str, note: bytes, register_only: bool = False) -> SubmitAnswer:
        """Submit a statement; `register_only`: log it although content is still to come."""

    def latest(self, source: str) -> tuple[bytes, bytes] | None:
        """Give note and receipt of the newest statement that the center has of `source`; None if it has none."""

    def receipt(self, digest: Sha256) -> bytes:
        """Give the receipt of the statement with this digest, under the newest checkpoint."""

    def cosign(self, size: int, line: SignatureLine) -> None:
        """Hand over this agent's cosignature on the checkpoint of `size`."""

    def checkpoint(self) -> bytes:
        """Give the note of the newest checkpoint, with the cosignatures that it has got."""

    def tile(self, path: str) -> bytes:
        """Give a hash tile of the log by its C2SP path (`tile/0/000.p/7`)."""

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Give the proof, made from tiles, that the log of `new_size` continues that of `old_size`."""

    def deposit(self, source: str, secrets: SourceSecrets) -> None:
        """Deposit the secrets of a new source. Raises: CenterRefusedError if the source has others there."""

    def recover(self, source: str) -> SourceSecrets | None:
        """Give back the secrets of `source`; None if the center has no such source."""

    def heartbeat(self, heartbeat: Heartbeat) -> datetime:
        """Tell the center how this agent is; give the center's own time."""

    def close(self) -> None:
        """Let go of the line."""

    def __enter__(self) -> "Transport":
        """Give the road itself."""

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the road."""


class DropBox(Protocol):
    """A road with nobody at the other end: bags are left in an outbox, files of receipts come into an inbox some time.

    Promises: a bag is in the outbox under its name whole and durable, or not at all; putting it again does no harm, and goes on
    where it was cut. Nothing of an inbox is removed but what `remove` names. Nothing that is read is verified here. A
    call raises DropBoxError (nothing is lost, try again later); over SFTP also HostKeyError, SshLoginError, RoadError.
    Not thread-safe. Close it, or use it as a context manager.
    """

    def put(self, name: str, folder: Path, pace: SendPace = unpaced, after: SendPace = unpaced) -> None:
        """Put the bag that lies in `folder` into the outbox, under `name`; `pace`: of the bytes that go.

        `after` is told the size of each file that has come whole; what it raises ends the putting, to go on some other time.
        """

    def check(self) -> None:
        """Raises: unless bags can be put and receipts read now."""

    def receipts(self) -> list[str]:
        """Give the names of the files of receipts in the inbox."""

    def read(self, name: str, most: int) -> bytes:
        """Give a file of receipts; what is over `most` bytes is cut off there."""

    def remove(self, name: str) -> None:
        """Remove a file of receipts; one that is gone is no error."""

    def close(self) -> None:
        """Let go of the drop box."""

    def __enter__(self) -> "DropBox":
        """Give the drop box itself."""

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the drop box."""
