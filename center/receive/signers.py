# SPDX-License-Identifier: Apache-2.0
"""Which keys may sign a statement of a source, and how a unit's key gives way to another. No clock; the registry logs.

A unit has one statement key; each source's chain passes from an old to a new one by a statement of kind `key`, signed by
both, or goes on under the new one without it where the old one was gone. With the first change the unit's key changes:
requests need the new one from then on. Chains that have not passed yet may go on by the old one, whose statements may have
waited at the agent; requests by it are refused, so its thief can send none. Where a key was lost, and another enrolled,
nothing by the old one is taken any more.
Source: design section 5, decisions 0062, 0084.
"""

from center.registry.catalog import Catalog
from center.registry.units import Unit, Units
from evidence.errors import FormatError
from evidence.keys.key import VerificationKey
from evidence.manifest.statement import KeyStatement, Statement, key_name, parse_statement, statement_digest
from evidence.note.signed import Note, parse_note, verify_note


class Signers:
    """The keys of all units, as statements are signed by them."""

    def __init__(self, units: Units, catalog: Catalog) -> None:
        self._units = units
        self._catalog = catalog

    def verify(self, unit: str, source: str, note: Note) -> Statement:
        """Give the statement in a note, signed by whoever may sign for the source.

        Raises: FormatError, UnsupportedError, SignatureError, UnknownSignerError; NotFoundError: no such unit.
        """
        record = self._units.get(unit)
        if record.statement_key is None:
            raise FormatError(f"unit {unit} has no key")
        name = key_name(unit, source)
        if len(note.signatures) == 1:
            # Nearly always: the key that the unit has now, and nothing needs to be looked up.
            is_current = note.signatures[0].key_id == record.statement_key.renamed(name).key_id
            keys = [record.statement_key] if is_current else self._find_speaking(record, source, note)
            verify_note(note, [key.renamed(name) for key in keys])
        statement = parse_statement(note.text)
        if (statement.unit, statement.source) != (unit, source):
            raise FormatError(f"it is about {statement.unit}/{statement.source}")
        if isinstance(statement, KeyStatement):
            self._check_change(record, statement, note)
        elif len(note.signatures) != 1:
            raise FormatError(f"it carries {len(note.signatures)} signatures, expected one")
        return statement

    def follow(self, statement: KeyStatement) -> None:
        """Have the unit's key changed as a logged statement says; again and again is harmless."""
        self._units.change_key(statement.unit, statement.old, statement.new)

    def _check_change(self, unit: Unit, statement: KeyStatement, note: Note) -> None:
        if not statement.attested:
            raise FormatError(
                "the change of a key that was lost is logged when another is enrolled, not stated by the new one"
            )
        if statement.from_sequence != statement.sequence + 1:
            raise FormatError(
                f"it says that the new key signs from {statement.from_sequence}, expected {statement.sequence + 1}"
            )
        name = key_name(unit.unit, statement.source)
        both = (statement.old.renamed(name), statement.new.renamed(name))
        if len(note.signatures) != 2 or set(verify_note(note, both)) != set(both):
            raise FormatError("a change of keys carries two signatures, by the old key and by the new")
        if statement.old not in self._find_allowed(unit, statement.source) and not self._is_logged(unit, statement):
            raise FormatError(f"the key {statement.old.key_id.hex()} does not speak for {name} any more")
        if not self._is_link(unit, statement):
            self._units.check_key_change(unit.unit, statement.old, statement.new)

    def _is_link(self, unit: Unit, statement: KeyStatement) -> bool:
        """Tell whether the unit has passed from the old to the new key before, by another chain or this very statement."""
        pairs = zip(unit.keys, unit.keys[1:], strict=False)
        return any((first.statement, second.statement) == (statement.old, statement.new) for first, second in pairs)

    def _is_logged(self, unit: Unit, statement: KeyStatement) -> bool:
        """Tell whether this very statement is in the log: whoever has lost its receipt may ask again."""
        rows = self._catalog.statements(unit.unit, statement.source)
        return any(
            row.sequence == statement.sequence and parse_note(row.note).text == statement.encode() for row in rows
        )

    def _find_speaking(self, unit: Unit, source: str, note: Note) -> list[VerificationKey]:
        """Give the keys by which a note may be signed: of one that is logged already, any that the unit has had.

        It spoke in its time, and comes again because its content has come, or its receipt was lost.
        """
        row = self._catalog.by_digest(statement_digest(note.text))
        if row is not None and (row.unit, row.source) == (unit.unit, source):
            return [pair.statement for pair in unit.keys]
        return self._find_allowed(unit, source)

    def _find_allowed(self, unit: Unit, source: str) -> list[VerificationKey]:
        """Give the keys that may sign for a source now: the unit's, and those before it that its chain has not left.

        Keys that share a cosigner's key followed each other by an attested change; at an enrolment both are new.
        """
        allowed = [unit.keys[-1].statement]
        links = [(first, second) for first, second in zip(unit.keys, unit.keys[1:], strict=False)][::-1]
        if not links or links[0][0].cosigner != links[0][1].cosigner:
            return allowed
        passed = self._find_passed(unit, source)
        for first, second in links:
            if first.cosigner != second.cosigner or second.statement == passed:
                break
            allowed.append(first.statement)
        return allowed

    def _find_passed(self, unit: Unit, source: str) -> VerificationKey | None:
        """Find the key under which a chain goes on: the newest that has signed its newest statement; a change has two."""
        latest = self._catalog.latest(unit.unit, source)
        if latest is None:
            return None
        name = key_name(unit.unit, source)
        signers = {line.key_id for line in parse_note(latest.note).signatures}
        return next((p.statement for p in reversed(unit.keys) if p.statement.renamed(name).key_id in signers), None)
