# SPDX-License-Identifier: Apache-2.0
"""Whether the ledger may sign: not while a hold stands, and after a start not before an agent has confirmed it.

A ledger restored from an older copy would sign a second history: its files cannot know that they are old, but the
agents have seen newer checkpoints. So holds are kept in `ledger.sqlite`, while a confirmation must not survive in any
file: it is a shared lock on `confirmed.lock`, held by the process that an agent has confirmed, as long as it lives.
A command beside the running receiver is covered by the receiver's. Not every agent's word will do: one that was away
for long has little to say about what was lost, so it must have seen the largest checkpoint that any unit is known to
have acknowledged. Thread-safe. Source: design section 5; decisions 0008, 0022, 0025, 0056.
"""

import fcntl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from center.errors import HeldError
from center.ledger.lock import Hold, HoldKind, LedgerLock
from terminal.language import Text

_MOST_NAMED: Final = 3
_WAITING_HINT: Final = Text(
    zh="启动中心，让上述单位的采集端来联系一次（在那里运行 `jinsuo-agent check` 即可）再试；"
    "若其采集端已不在、已重新登记或丢失了 journal.sqlite，而本日志确实不是旧副本："
    "jinsuo-center serve --confirm 理由",
    en="start the center and let the agent of such a unit call (`jinsuo-agent check` there does), then try again; if its"
    " agent is gone, was enrolled anew or has lost its journal, and the ledger is surely not an old copy:"
    " jinsuo-center serve --confirm REASON",
)
_OLDER_HINT: Final = Text(
    zh="日志是从比 `units/` 更旧的副本恢复的：从镜像或较新的备份取回缺少的条目（jinsuo-center ledger import-tail FOLDER），再解除停签"
    "（ledger release），不必等采集端联系；此前签名会使日志分叉，操作员担保也不行；若任何副本都没有这些条目，本日志即告终结："
    "留作证据，另开新日志",
    en="the ledger was restored from an older copy than `units/`: import the missing entries from a mirror or a newer backup"
    " (jinsuo-center ledger import-tail FOLDER), then release the hold (ledger release); no agent need call; signing"
    " before would fork the log, so no word of an operator will do; if no copy has them, this log has ended: keep it as"
    " evidence, and begin a new one",
)
_HINTS: Final = {
    HoldKind.AHEAD: Text(
        zh="日志是从旧副本恢复的：从镜像或较新的备份取回缺少的条目（jinsuo-center ledger import-tail FOLDER），再解除停签"
        "（ledger release）；此前签名会使日志分叉；若任何副本都没有这些条目，本日志即告终结",
        en="the ledger was restored from an older copy: import the missing entries from a mirror or a newer"
        " backup (jinsuo-center ledger import-tail FOLDER), then release the hold (ledger release); signing before would"
        " fork the log; if no copy has them, this log has ended",
    ),
    HoldKind.CONTRADICTION: Text(
        zh="日志的密钥签过两个历史：停下中心，两份都留作证据，查明谁用过该密钥，再以新密钥另开日志",
        en="the log's key has signed two histories: stop the center, keep both copies as evidence,"
        " find out who used the key, and begin a new log with a new key",
    ),
}


@dataclass(frozen=True, slots=True)
class Awaited:
    """The word that is waited for: a checkpoint of `size` entries or more. `units`: who acknowledged one of `size`."""

    size: int
    units: tuple[str, ...]

    @classmethod
    def among(cls, marks: Mapping[str, int]) -> "Awaited | None":
        """Find it in the sizes that units have acknowledged; None if nobody has.

        >>> Awaited.among({"X013": 90, "Y002": 88, "Z001": 90})
        Awaited(size=90, units=('X013', 'Z001'))
        """
        size = max(marks.values(), default=0)
        return cls(size, tuple(sorted(unit for unit, seen in marks.items() if seen == size))) if size else None

    def explain(self, own_size: int) -> tuple[Text, Text]:
        """Say why it stops a ledger of `own_size` entries, and what to do: wait, or take back what is known to be lost."""
        if self.size <= own_size:
            return self._sentence, _WAITING_HINT
        names = ", ".join(self.units[:_MOST_NAMED])
        return Text(
            zh=f"日志有 {own_size} 条，但 {names} 曾确认过 {self.size} 条的检查点",
            en=f"the ledger has {own_size} entries, but {names} acknowledged a checkpoint of {self.size}",
        ), _OLDER_HINT

    @property
    def _sentence(self) -> Text:
        more = len(self.units) - _MOST_NAMED
        names = ", ".join(self.units[:_MOST_NAMED])
        return Text(
            zh=f"启动后暂不签名：须有采集端出示本日志所含、不少于 {self.size} 条的检查点"
            f"（{names}{f' 等 {len(self.units)} 个单位' if more > 0 else ''} 曾确认过）",
            en="the ledger signs nothing after a start until an agent has shown a checkpoint of at least"
            f" {self.size} entries that it holds, such as {names}{f' and {more} more' if more > 0 else ''}"
            " acknowledged before",
        )


class Gate:
    """The right to sign, for one process."""

    def __init__(self, lock: LedgerLock, path: Path) -> None:
        self._lock = lock
        self._file: BinaryIO = path.open("ab")
        self._awaited: Awaited | None = None

    def require_confirmation(self, awaited: Awaited | None) -> None:
        """Sign nothing until that word is heard, or with None do."""
        self._awaited = awaited

    @property
    def is_waiting(self) -> bool:
        """Tell whether this process has not been confirmed itself; another one on this machine may have been."""
        return self._awaited is not None

    @property
    def awaited_size(self) -> int:
        """The size of the checkpoint that is waited for, or 0. Under the `WriterLock`."""
        awaited = self._find_awaited()
        return 0 if awaited is None else awaited.size

    def hear(self, size: int) -> None:
        """An agent's newest checkpoint has `size` entries and is ours: if that is enough, this process may sign."""
        if self._awaited is None or size >= self._awaited.size:
            self._confirm()

    def vouch(self, own_size: int) -> None:
        """An operator says that our `own_size` entries are all. Raises: HeldError if a unit has acknowledged more."""
        if self._awaited is not None and self._awaited.size > own_size:
            sentence, hint = self._awaited.explain(own_size)
            raise HeldError(sentence, hint=hint)
        self._confirm()

    def find_reason(self) -> Text | None:
        """Give the sentence that says why nothing is signed, if so. Under the `WriterLock`."""
        hold = self._lock.hold()
        if hold is not None:
            return _explain(hold)
        awaited = self._find_awaited()
        return None if awaited is None else awaited.explain(self._lock.standing().size)[0]

    def check(self) -> None:
        """Raises: HeldError unless the ledger may sign now. Under the `WriterLock`."""
        hold = self._lock.hold()
        if hold is not None:
            raise held_error(hold)
        self.check_confirmed()

    def check_confirmed(self) -> None:
        """Raises: HeldError while nobody has confirmed us; a hold does not count. Under the `WriterLock`."""
        awaited = self._find_awaited()
        if awaited is not None:
            sentence, hint = awaited.explain(self._lock.standing().size)
            raise HeldError(sentence, hint=hint)

    def close(self) -> None:
        """Give up this process's confirmation."""
        self._file.close()

    def _confirm(self) -> None:
        """This process may sign, and others on this machine while it lives."""
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._awaited = None

    def _find_awaited(self) -> Awaited | None:
        awaited = self._awaited  # once: another thread may hear it meanwhile
        return None if awaited is None or self._is_confirmed_elsewhere() else awaited

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
    return HeldError(_explain(hold), hint=_HINTS[hold.kind])


def _explain(hold: Hold) -> Text:
    """Say why it holds; its reason is kept in English, as it was when the ledger stopped."""
    if hold.kind is HoldKind.AHEAD:
        return Text(zh=f"出示过本日志自己签署的 {hold.size} 条的检查点，而日志当时没有这么多条", en=hold.reason)
    return Text(zh=f"本日志的密钥签署过 {hold.size} 条的检查点，其根与我们所存的不同", en=hold.reason)
