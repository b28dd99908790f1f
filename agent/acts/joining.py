# SPDX-License-Identifier: Apache-2.0
"""Becoming one of a center's agents, over a line or by files, and staying the same one under another key."""

from collections.abc import Sequence
from contextlib import ExitStack

from agent.acts.parts import Parts
from agent.acts.road import Road
from agent.acts.runs import Runs
from agent.acts.sending import Sending
from agent.identity import Identity, enroll, make_key
from agent.journal import SourceKeys
from agent.offline import Known, accept_enrolment, request_enrolment
from agent.outcome import Enrolment, KeyChange
from agent.snapshot.progress import Progress
from agent.snapshot.rekey import is_logged, state_key_change


class Joining:
    """The acts that change who this agent is."""

    def __init__(self, parts: Parts, road: Road, runs: Runs, sending: Sending) -> None:
        self._parts = parts
        self._road = road
        self._runs = runs
        self._sending = sending

    def enroll(self, url: str, code: str) -> Enrolment:
        """Make this agent one of the center's. Raises: EnrolmentError, PinError, CenterDownError, CenterRefusedError."""
        identity, sources = enroll(self._parts.folder, url, code, self._road.way())
        if self._road.carries_files and sources:
            # There will be nobody to ask: the secrets and the chains of older sources come now, over this line.
            with self._road.line(identity) as line:
                for source in sources:
                    self._runs.run(source, line=line).settle()
        return _enrolment(identity, sources)

    def request_enrolment(self, code: str) -> bytes:
        """Give a request for enrolment, for the center to answer in a file. Raises: EnrolmentError."""
        return request_enrolment(self._parts.folder, code)

    def accept_enrolment(self, code: str, answer: bytes) -> Enrolment:
        """Make this agent one of the center's, by its answer to the request. Raises: EnrolmentError, PinError, ReceiptError."""

        def keep(known: Sequence[Known]) -> None:
            for each in known:
                secrets = each.secrets
                self._parts.journal.put_keys(each.source, SourceKeys(secrets.row_secret, secrets.storage_key, True))

        identity, known = accept_enrolment(self._parts.folder, code, answer, keep)
        for each in known:
            if each.latest is not None:
                # The chain goes on from there, as with a line; a kill before this is mended by the first bag's answer.
                self._road.posted[each.source].tell_latest(*each.latest)
                if self._road.carries_files:
                    self._runs.run(each.source).settle()
        return _enrolment(identity, tuple(each.source for each in known))

    def replace_key(self, progress: Progress) -> KeyChange:
        """Give this agent another statement key, attested by the old one; try to tell the center at once.

        From then on statements are signed by the new key, though the center may hear of it later. Begun before and not
        known to the center yet: the same change goes on.
        Raises: KeyChangeError: no source has a chain; EnrolmentError, BusyError, SpoolError, PinError, ReceiptError.
        """
        parts, identity = self._parts, self._road.identity()
        if identity.before is None:
            with ExitStack() as locks:
                sources = parts.journal.sources()
                for name in sources:
                    locks.enter_context(parts.lock(name))
                made = make_key(parts.folder, identity.unit)
                state_key_change(parts.journal, identity.unit, sources, identity.statement, made, parts.clock())
            identity = self._road.identity()
        assert identity.before is not None
        change = (identity.before.key, identity.statement.key)
        outcomes = self._sending.send(progress, force=True)
        trouble = next((outcome.trouble for outcome in outcomes if outcome.trouble is not None), None)
        return KeyChange(*change, is_known=is_logged(parts.journal, change[1]), trouble=trouble)


def _enrolment(identity: Identity, sources: tuple[str, ...]) -> Enrolment:
    address = identity.address
    return Enrolment(address.unit, address.name, address.url, address.log.name, address.log.vkey, sources)
