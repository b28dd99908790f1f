# SPDX-License-Identifier: Apache-2.0
"""A snapshot taken by the agent's own collector and recipe, into the store in memory: what a restore must give back."""

from pathlib import Path

from agent.collectors.base import Collector
from agent.snapshot.blobs import BlobWriter
from agent.snapshot.tables import build_table, build_tree
from center.registry.snapshots import Snapshot
from evidence.manifest.blobtable import ORDERING as BLOBS
from evidence.rows.commit import row_key
from tests.fakes.snapshot import SECRETS, SourceHistory


def take_with_agent(history: SourceHistory, collector: Collector, folder: Path) -> Snapshot:
    """Read all tables of the collector's source as the agent does; `folder` takes temporary files."""
    key = row_key(SECRETS.row_secret)
    blobs = BlobWriter(history.objects, folder / "work")
    try:
        with collector.open_view() as view:
            built = [
                build_table(view, table, key, history.objects, blobs, folder / "work", lambda *_: None)
                for table in view.tables()
            ]
            history.position = view.position
            omitted = {o.name: o.reason for o in view.omitted()}
            documents = {d.name: d.body for d in view.documents()}
        top = build_tree(blobs.sorted_blocks(), BLOBS, key, history.objects).top if blobs.count else None
    finally:
        blobs.close()
    return history.keep([(b.schema, b.tree, None) for b in built], top, omitted=omitted, documents=documents)
