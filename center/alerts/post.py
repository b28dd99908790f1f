# SPDX-License-Identifier: Apache-2.0
"""The post: from what is to be said to the channels, one letter at a time, again until each has it.

All that waits on a channel goes as one letter, worst first. A channel that takes nothing is tried again after 1, 2, 4 …
minutes, an hour at most, with one letter: nothing piles up on it, and the others do not wait for it. The system's lock
`alerts.NAME.lock` is held while a channel is served, so that a daemon and a command never send one letter both.
A letter is sent at least once; once exactly, unless the process dies between the channel's yes and our note of it.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from center.alerts.channels import ChannelError, Sender, guard
from center.alerts.letters import compose
from center.alerts.memory import Memory, Pending, Trouble
from center.alerts.secrets import SecretError
from center.registry.lock import FolderLock
from terminal.language import Language

MOST_ITEMS: Final = 100
FIRST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(hours=1)
log = logging.getLogger(__name__)


class Post:
    """The post of one center."""

    def __init__(
        self, memory: Memory, senders: Sequence[Sender], center: str, language: Language, folder: Path
    ) -> None:
        """Serve `senders`; `center` signs the letters, `folder` holds the locks."""
        self._memory = memory
        self._center = center
        self._language = language
        self._folder = folder
        self._said: dict[str, set[int]] = {sender.name: set() for sender in senders}
        self.senders = tuple(senders)
        memory.forget_channels([sender.name for sender in senders])

    def deliver_all(self, now: Callable[[], datetime]) -> dict[str, ChannelError | SecretError]:
        """Serve every channel at once, for a person who waits; give what each that failed said.

        A failure is told to that person and noted nowhere: a shell may lack a secret that the daemon has.
        Raises: StoreError, FullError.
        """
        failed: dict[str, ChannelError | SecretError] = {}
        for sender in self.senders:
            with FolderLock(self._lock_path(sender)).hold():
                err = self._send_all(sender, now)
            if err is not None:
                failed[sender.name] = err
        return failed

    def deliver(self, sender: Sender, now: Callable[[], datetime]) -> ChannelError | SecretError | None:
        """Send what waits on one channel, if it may be tried; give why it failed. Raises: StoreError, FullError."""
        with FolderLock(self._lock_path(sender)).try_hold() as is_ours:
            if not is_ours or self._must_wait(sender.name, now()):
                return None
            err = self._send_all(sender, now)
            if err is not None:
                self._note_failure(sender.name, now(), err)
            return err

    def _send_all(self, sender: Sender, now: Callable[[], datetime]) -> ChannelError | SecretError | None:
        """Send what waits on a channel, letter by letter, until one fails; give why. Under the channel's lock."""
        while waiting := self._find_waiting(sender.name):
            letter = compose([one.item for one in waiting], self._center, self._language, now())
            try:
                guard(sender.send, sender.name, letter)
            except (ChannelError, SecretError) as err:
                return err
            # Before the note of it: where the disk is full, this process must not send it again and again.
            self._said[sender.name].update(one.serial for one in waiting)
            self._memory.mark_sent(sender.name, waiting)
            log.info("alerts told", extra={"channel": sender.name, "items": len(waiting), "letter": letter.id})
        return None

    def _lock_path(self, sender: Sender) -> Path:
        return self._folder / f"alerts.{sender.name}.lock"

    def _find_waiting(self, name: str) -> list[Pending]:
        """Give what is still to be said; what was said, and could not be taken out, is taken out now."""
        pending = self._memory.pending(name, MOST_ITEMS)
        said = [one for one in pending if one.serial in self._said[name]]
        if said:
            self._memory.mark_sent(name, said)
        self._said[name].clear()
        return [one for one in pending if one not in said]

    def _must_wait(self, name: str, now: datetime) -> bool:
        trouble = self._memory.troubles().get(name)
        # A clock that was set back must not keep a channel waiting for longer than its longest wait.
        return trouble is not None and now < trouble.next_try <= now + LONGEST_WAIT

    def _note_failure(self, name: str, now: datetime, err: ChannelError | SecretError) -> None:
        before = self._memory.troubles().get(name)
        failures = 1 if before is None else before.failures + 1
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures - 1, 10))
        self._memory.mark_failed(name, Trouble(failures, now if before is None else before.since, now + wait))
        log.warning("alerts not told", extra={"channel": name, "code": err.code, "why": str(err), "again_in": wait})
