# SPDX-License-Identifier: Apache-2.0
"""Whether the ledger may sign: not while a hold stands, and after a start not before an agent has confirmed it.

A ledger restored from an older copy would sign a second history: its files cannot know that they are old, but the
agents have seen newer checkpoints. So holds are kept in `ledger.sqlite`, while a confirmation must not survive in any
file: it is a shared lock on `confirmed.lock`, held by the process that an agent has confirmed, as long as it lives.
A command beside the running receiver is covered by the receiver's. Thread-safe. Source: design section 5.
"""

import fcntl
from pathlib import Path
from typing import BinaryIO, Final

from center.errors import HeldError
from center.ledger.lock import Hold, HoldKind, LedgerLock

_WAITING: Final = "the ledger signs nothing after a start until an agent has shown a checkpoint that it holds"
_WAITING_HINT: Final = (
    "start the center and let any agent call (`jinsuo-agent send`), then try again; if no agent is left that could, and"
    " the ledger is surely not an old copy: jinsuo-center serve --confirm REASON"
)
_HINTS: Final = {
    HoldKind.AHEAD: "the ledger was restored from an older copy: import the missing entries from a mirror or a newer"
    " backup (jinsuo-center ledger import-tail FOLDER), then release the hold (ledger release); signing before would"
    " fork the log",
    HoldKind.CONTRADICTION: "the log's key has signed two histories: stop the center, keep both copies as evidence,"
    " find out who used the key, and begin a new log with a new key",
}


class Gate:
    """The right to sign, for one process."""

    def __init__(self, lock: LedgerLock, path: Path) -> None:
        self._lock = lock
        self._file: BinaryIO = path.open("ab")
        self._is_waiting = False

    def require_confirmation(self, required: bool) -> None:
        """Sign nothing until `confirm`, or do."""
        self._is_waiting = required

    def confirm(self) -> None:
        """An agent's newest checkpoint is ours, or an operator says so: this process may sign, and others on this machine while it lives."""
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._is_waiting = False

    def find_reason(self) -> str | None:
        """Give the sentence that says why nothing is signed, if so. Under the `WriterLock`."""
        hold = self._lock.hold()
        if hold is not None:
            return hold.reason
        return _WAITING if self._is_waiting and not self._is_confirmed_elsewhere() else None

    def check(self) -> None:
        """Raises: HeldError unless the ledger may sign now. Under the `WriterLock`."""
        hold = self._lock.hold()
        if hold is not None:
            raise held_error(hold)
        if self._is_waiting and not self._is_confirmed_elsewhere():
            raise HeldError(_WAITING, hint=_WAITING_HINT)

    def close(self) -> None:
        """Give up this process's confirmation."""
        self._file.close()

    def _is_confirmed_elsewhere(self) -> bool:
        # Under the WriterLock, so that nobody else tries at the same time: who holds a shared lock has confirmed.
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False


def ahead_hold(note: bytes, size: int, own_size: int) -> Hold:
    """Give the hold for `note`, a checkpoint of our own that has more entries than we hold."""
    reason = f"the ledger has {own_size} entries, but its own signature on a checkpoint of {size} entries was shown"
    return Hold(HoldKind.AHEAD, reason, note, size)


def contradiction_hold(note: bytes, size: int) -> Hold:
    """Give the hold for `note`, a checkpoint of our own of `size` entries that are not the first ones we hold."""
    reason = f"the ledger's key has signed a checkpoint of {size} entries whose root is not the root that we hold"
    return Hold(HoldKind.CONTRADICTION, reason, note, size)


def held_error(hold: Hold) -> HeldError:
    """Give the error for a hold, with what to do."""
    return HeldError(hold.reason, hint=_HINTS[hold.kind])
