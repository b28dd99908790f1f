# SPDX-License-Identifier: Apache-2.0
"""What is asked of the center about one source, and the secrets without which it can answer nothing.

The secrets are kept here, else given back by the center, else made and deposited there. A center that was restored from an
older copy may know the source no more: then they are deposited once more, and the question is asked again.
Source: design sections 5 to 7.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from agent.errors import CenterDownError, CenterRefusedError
from agent.journal import Journal, SourceKeys
from agent.transport.base import Transport
from evidence.digest import ObjectId
from evidence.wire.secrets import SourceSecrets

_NOT_FOUND = "JS-3106"
_T = TypeVar("_T")


class SourceLine:
    """The line of the source `name`. Everything here raises what the transport raises."""

    def __init__(self, name: str, journal: Journal, connect: Callable[[], Transport]) -> None:
        self._name = name
        self._journal = journal
        self._connect = connect

    @cached_property
    def transport(self) -> Transport:
        """Give the road to the center, opened when it is first needed."""
        return self._connect()

    def settle_keys(self, *, offline: bool) -> SourceKeys:
        """Give the keys of the source, which both sides have. `offline`: they may be known here alone.

        Raises: CenterDownError where nothing was taken of the source yet, unless `offline`.
        """
        keys = self._journal.keys(self._name)
        try:
            return self._deposited_keys(keys)
        except CenterDownError:
            # A source that was begun offline goes on so; its secrets travel in its bags.
            if not offline and (keys is None or self._journal.latest(self._name) is None):
                raise
        return keys or self._journal.make_keys(self._name)

    def latest(self) -> tuple[bytes, bytes] | None:
        """Give the center's newest statement of the source, as note and receipt."""
        return self.transport.latest(self._name)

    def missing(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Give those of the objects that the center lacks."""
        return self.ask(lambda transport: transport.missing(self._name, ids))

    def ask(self, act: Callable[[Transport], _T]) -> _T:
        """Do `act`; where the center knows the source no more, deposit its secrets again and do it once more."""
        try:
            return act(self.transport)
        except CenterRefusedError as err:
            keys = self._journal.keys(self._name)
            if err.refusal != _NOT_FOUND or keys is None or self.transport.recover(self._name) is not None:
                raise
            self._deposit(keys)
            return act(self.transport)

    def _deposited_keys(self, keys: SourceKeys | None) -> SourceKeys:
        """Give the keys that the center holds, too; they are made if neither side has any."""
        if keys is None:
            found = self.transport.recover(self._name)
            if found is None:
                keys = self._journal.make_keys(self._name)
            else:
                keys = SourceKeys(found.row_secret, found.storage_key, True)
                self._journal.put_keys(self._name, keys)
        if not keys.deposited:
            self._deposit(keys)
            self._journal.mark_deposited(self._name)
        return keys

    def _deposit(self, keys: SourceKeys) -> None:
        self.transport.deposit(self._name, SourceSecrets(keys.row_secret, keys.storage_key))
