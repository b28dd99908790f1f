# SPDX-License-Identifier: Apache-2.0
"""What became of a statement, told from its row in the journal. Reads no file."""

from datetime import timedelta
from pathlib import Path

from agent.journal import JournalEntry, State
from agent.outcome import Outcome, Stage
from agent.snapshot.kept import receipt_path
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.note.signed import parse_note

STAGES = {State.TAKEN: Stage.SPOOLED, State.REGISTERED: Stage.REGISTERED, State.STORED: Stage.STORED}


def make_outcome(entry: JournalEntry, folder: Path) -> Outcome:
    """Give the outcome of a statement of the agent in `folder`, as the journal has it now."""
    statement = parse_statement(parse_note(entry.note).text)
    snapshot = statement if isinstance(statement, SnapshotStatement) else None
    return Outcome(
        source=entry.source,
        sequence=entry.sequence,
        stage=STAGES[entry.state],
        tables=entry.tables,
        rows=entry.rows,
        bytes_=entry.bytes_,
        sent_bytes=entry.sent_bytes,
        taken_at=entry.taken_at,
        took=timedelta(0),
        consistency=snapshot.consistency.value if snapshot else "-",
        root=snapshot.root.hex() if snapshot else "-",
        log_index=entry.log_index,
        receipt_path=receipt_path(folder, entry.source, entry.sequence) if entry.receipt else None,
    )
