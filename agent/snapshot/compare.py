# SPDX-License-Identifier: Apache-2.0
"""Whether a source is now what was registered: read it, build the roots, keep and send nothing."""

import shutil
from pathlib import Path

from agent.collectors.base import Collector
from agent.errors import EnrolmentError, SourceError, TableLostError
from agent.journal import Journal, JournalEntry
from agent.outcome import Comparison, TableComparison, Verdict
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.kept import manifest_path
from agent.snapshot.objects import RootsOnly
from agent.snapshot.progress import Pace, Progress, unpaced
from agent.snapshot.tables import build_table
from evidence.manifest.claim import Claim, snapshot_root
from evidence.manifest.manifest import Manifest, parse_manifest
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.note.signed import parse_note
from evidence.rows.commit import row_key
from terminal.language import Text


def compare_source(
    name: str,
    collector: Collector,
    folder: Path,
    journal: Journal,
    sequence: int | None,
    progress: Progress,
    temporary: Path,
    pace: Pace = unpaced,
) -> Comparison:
    """Compare a source with the snapshot `sequence` that this agent has registered (None: the newest).

    Raises: SourceError if there is no such snapshot here, or the source cannot be read.
    """
    keys = journal.keys(name)
    if keys is None:
        raise EnrolmentError(
            Text(zh=f"本采集端还没有登记过来源 {name}", en=f"source {name} has not been registered by this agent"),
            hint=Text(zh=f"先运行 `jinsuo-agent snapshot {name}`", en=f"run `jinsuo-agent snapshot {name}` first"),
        )
    entry = _find_entry(journal, name, sequence)
    manifest = _read_manifest(folder, name, entry.sequence)
    registered = {table.claim.name: table.claim for table in manifest.tables}
    # A difference may be older than the snapshot that is asked about: say so where the table was not read for it.
    carried = {
        table.claim.name: f"not read in #{entry.sequence}, carried over from #{table.carried_from}"
        for table in manifest.tables
        if table.carried_from is not None
    }
    live: dict[str, Claim] = {}
    unread: dict[str, str] = {}
    blobs = BlobWriter(RootsOnly(), temporary, pace=pace)
    try:
        with collector.open_view() as view:
            for table in view.tables():
                try:
                    progress.begin(table.schema.name, table.estimated_rows)
                    key = row_key(keys.row_secret)
                    built = build_table(view, table, key, RootsOnly(), blobs, temporary, progress.advance, pace)
                except TableLostError as err:
                    unread[table.schema.name] = err.reason
                    continue
                tree = built.tree
                live[built.schema.name] = Claim(
                    built.schema.name, built.schema.digest, tree.root, tree.height, tree.items, tree.rows, tree.bytes_
                )
    finally:
        blobs.close()
        shutil.rmtree(temporary, ignore_errors=True)
    statement = parse_statement(parse_note(entry.note).text)
    assert isinstance(statement, SnapshotStatement)
    return Comparison(
        source=name,
        sequence=entry.sequence,
        registered_at=entry.taken_at,
        tables=tuple(
            _compare(table, registered.get(table), live.get(table), unread, carried)
            for table in sorted({*registered, *live, *unread}, key=str.encode)
        ),
        registered_root=statement.root.hex(),
        live_root=None if unread else snapshot_root(live.values(), keys.row_secret).hex(),
    )


def _compare(
    name: str, registered: Claim | None, live: Claim | None, unread: dict[str, str], carried: dict[str, str]
) -> TableComparison:
    rows = (registered.rows if registered else None, live.rows if live else None)
    if name in unread:
        return TableComparison(name, Verdict.NOT_READ, *rows, unread[name])
    if live is None:
        return TableComparison(name, Verdict.ONLY_REGISTERED, *rows)
    if registered is None:
        return TableComparison(name, Verdict.ONLY_LIVE, *rows)
    if registered.schema != live.schema:
        return TableComparison(name, Verdict.SCHEMA_DIFFERS, *rows, carried.get(name, ""))
    return TableComparison(
        name, Verdict.EQUAL if registered == live else Verdict.DIFFERENT, *rows, carried.get(name, "")
    )


def _find_entry(journal: Journal, name: str, sequence: int | None) -> JournalEntry:
    snapshots = [e for e in journal.all_of(name) if e.kind == SnapshotStatement.kind]
    found = [e for e in snapshots if sequence is None or e.sequence == sequence]
    if not found:
        raise SourceError(
            Text(
                zh=f"本采集端没有登记过快照 {name}#{sequence if sequence is not None else 'latest'}",
                en=f"this agent has registered no snapshot {name}#{sequence if sequence is not None else 'latest'}",
            ),
            hint=Text(
                zh=f"已有：{', '.join(str(e.sequence) for e in snapshots[-20:]) or '无'}",
                en=f"it has: {', '.join(str(e.sequence) for e in snapshots[-20:]) or 'none'}",
            ),
        )
    return found[-1]


def _read_manifest(folder: Path, name: str, sequence: int) -> Manifest:
    path = manifest_path(folder, name, sequence)
    try:
        return parse_manifest(path.read_bytes())
    except OSError as err:
        raise SourceError(
            Text(
                zh=f"{name}#{sequence} 的清单不在本机（{path}）",
                en=f"the manifest of {name}#{sequence} is not kept here ({path})",
            ),
            hint=Text(
                zh="与本采集端建立以后取的快照比较",
                en="compare with a snapshot that this agent has taken since it was set up",
            ),
        ) from err
