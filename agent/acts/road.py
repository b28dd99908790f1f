# SPDX-License-Identifier: Apache-2.0
"""How an opened agent reaches its center: who it is, by which way bytes go, and what answers where nobody does.

A road is a line, with a center that answers at once, or it carries files: then each source has its `Posted` answers, and
bags go into a drop box. Invariant: whoever asks for the identity gets one in which no change of keys is left half done.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

from agent.acts.parts import Parts
from agent.errors import AgentError, DropBoxError
from agent.identity import Identity, finish_key, is_enrolled, settle_key
from agent.snapshot.rekey import is_logged, is_stated
from agent.transport.base import DropBox, SendPace, Transport, unpaced
from agent.transport.https import HttpsTransport
from agent.transport.posted import Posted
from agent.transport.roads import make_box, make_way
from agent.transport.way import Way
from evidence.digest import Sha256


class Road:
    """The road of one opened agent. Transports and the drop box are open until its parts are closed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.carries_files = parts.config.road.carries_files
        self.posted: defaultdict[str, Posted] = defaultdict(lambda: Posted(parts.bags.find_proof))

    def is_enrolled(self) -> bool:
        """Tell whether this agent has a center."""
        return is_enrolled(self._parts.folder)

    def identity(self) -> Identity:
        """Open who this agent is, after what a change of keys has left to do. Raises: EnrolmentError."""
        folder, journal = self._parts.folder, self._parts.journal
        if is_enrolled(folder):
            identity = Identity.open(folder)
            settle_key(folder, identity.unit, lambda key: is_stated(journal, key))
            if identity.before is not None and is_logged(journal, identity.statement.key):
                finish_key(folder)
        return Identity.open(folder)

    def way(self) -> Way:
        """Give the way that bytes take by the settings. Raises: RoadError."""
        return make_way(self._parts.config.road, self._parts.secrets)

    def line(self, identity: Identity | None = None, pace: SendPace = unpaced) -> HttpsTransport:
        """Give a line to the center, which the caller closes."""
        return (identity or self.identity()).connect(self.seen_checkpoint, pace, self.way())

    def connect(self, identity: Identity, pace: SendPace, name: str) -> Transport:
        """Give what answers the runs of a source: a line, or what files have brought."""
        if self.carries_files:
            return self.posted[name]
        transport = self.line(identity, pace)
        self._parts.closing.callback(transport.close)
        return transport

    def posted_or_asked(self, name: str) -> Posted:
        """Give the answers of files; proofs that none has brought, because the line has brought more, are asked for there."""
        if self.carries_files:
            return self.posted[name]

        def find_proof(old: int, new: int) -> list[Sha256]:
            found = self._parts.bags.find_proof(old, new)
            return self.connect(self.identity(), unpaced, name).consistency(old, new) if found is None else found

        return Posted(find_proof)

    @cached_property
    def box(self) -> DropBox:
        """The drop box of a road that carries files. Raises: RoadError, SecretError."""
        box = make_box(self._parts.config.road, self._parts.secrets)
        self._parts.closing.callback(box.close)
        return box

    def answered(self) -> Sequence[str]:
        """Give the sources for which receipts have come by a road that carries files, whether any are waited for or not."""
        if not self.carries_files or not self.is_enrolled():
            return ()
        try:
            files = self.box.receipts()
        except AgentError as err:
            if isinstance(err, DropBoxError) or self._parts.journal.unfinished():
                return ()  # those that wait for some are told
            raise
        unit = self.identity().unit
        names = self._parts.source_names()
        return [name for name in names if any(file.startswith(f"receipts-{unit}-{name}-") for file in files)]

    def ask_center(self) -> datetime | None:
        """Make a request with a token, which a center refuses to a disabled unit; give the center's own time.

        Over a road that carries files nobody answers, so its drop box is looked at.
        """
        if self.carries_files:
            self.box.check()
            return None
        with self.line() as line:
            line.latest(next(iter(self._parts.source_names()), "check"))
            return line.center_time

    def seen_checkpoint(self) -> bytes | None:
        """Give the newest checkpoint that this agent has verified."""
        known = self._parts.journal.checkpoint()
        return None if known is None else known[1]
