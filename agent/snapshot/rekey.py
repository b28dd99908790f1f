# SPDX-License-Identifier: Apache-2.0
"""One statement key gives way to another: the statements that say so, in the chain of each source. Nothing is sent here.

Each is signed by both keys; what comes after it in its chain is signed by the new one alone. All are noted in one durable
step. Source: formats.md "Other statements", docs/decisions/0062.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from agent.errors import KeyChangeError
from agent.journal import Journal, JournalEntry, State
from evidence.keys.key import VerificationKey
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.statement import KeyStatement, key_name, parse_statement, statement_digest
from evidence.note.signed import parse_note, sign_note
from terminal.language import Text

MakeChange = Callable[[JournalEntry | None], JournalEntry]
"""Give the statement of a change of keys that follows an entry in its chain (None: is the first)."""


def state_key_change(
    journal: Journal, unit: str, sources: Sequence[str], old: Ed25519Signer, new: Ed25519Signer, now: datetime
) -> list[JournalEntry]:
    """Note that `new` follows `old` from now on, for each of `sources` that has a chain; both are named UNIT.

    Raises: KeyChangeError if none has: nobody could be told.
    """
    entries: list[JournalEntry] = []
    for source in sources:
        latest = journal.latest(source)
        if latest is not None:
            entries.append(make_key_change(unit, source, latest, old, new, now))
    if not entries:
        raise KeyChangeError(
            Text(
                zh="还没有任何来源做过快照，没有可以说明换钥的声明链",
                en="no source has been taken yet, so there is no chain in which the change could be stated",
            ),
            hint=Text(
                zh="先做一次快照；或由档案馆给出新登记码（unit rekey）后在新目录登记",
                en="take a snapshot first, or enrol a new folder with a new code from the archives (`unit rekey`)",
            ),
        )
    journal.exchange((), entries)
    return entries


def make_key_change(
    unit: str, source: str, latest: JournalEntry | None, old: Ed25519Signer, new: Ed25519Signer, now: datetime
) -> JournalEntry:
    """Sign that `new` follows `old`, both of any name, next in the chain of a source after `latest`."""
    sequence = 1 if latest is None else latest.sequence + 1
    previous = None if latest is None else latest.digest
    old, new = (signer.renamed(unit) for signer in (old, new))
    statement = KeyStatement(unit, source, sequence, previous, now, old.key, new.key, sequence + 1, attested=True)
    text = statement.encode()
    name = key_name(unit, source)
    note = sign_note(text, [old.renamed(name), new.renamed(name)]).encode()
    return JournalEntry(
        source, sequence, statement.kind, statement_digest(text), note, State.TAKEN, now, 0, 0, 0, 0, None, None, ""
    )  # fmt: skip


def is_stated(journal: Journal, new: VerificationKey) -> bool:
    """Tell whether the journal has a statement by which `new` follows another key."""
    return any(statement.new == new for statement in _changes(journal))


def is_logged(journal: Journal, new: VerificationKey) -> bool:
    """Tell whether the center has logged anything signed by `new`: then it knows it as the unit's key.

    That is its statement as a rule; of a chain that another copy of the folder has passed on, what came after it.
    """
    logged = (
        entry for source in journal.sources() for entry in journal.all_of(source) if entry.state is not State.TAKEN
    )
    return any(is_signed_by(entry, new.renamed(key_name(new.name, entry.source))) for entry in logged)


def is_signed_by(entry: JournalEntry, key: VerificationKey) -> bool:
    """Tell whether a note names `key` among its signers; it is the caller's matter to know that it verifies."""
    return any((line.name, line.key_id) == (key.name, key.key_id) for line in parse_note(entry.note).signatures)


def _changes(journal: Journal) -> list[KeyStatement]:
    found = [parse_statement(parse_note(entry.note).text) for entry in journal.of_kind(KeyStatement.kind)]
    return [statement for statement in found if isinstance(statement, KeyStatement)]
