# SPDX-License-Identifier: Apache-2.0
"""Restore: a snapshot of any source into SQLite, PostgreSQL, MySQL or a folder, and the proof that the copy is equal."""

from center.restore.places import open_target
from center.restore.readback import Differences
from center.restore.restore import Ddl, Progress, RestoreReport, TableReport, restore
from center.restore.target import Placement, Target

__all__ = [
    "Ddl",
    "Differences",
    "Placement",
    "Progress",
    "RestoreReport",
    "TableReport",
    "Target",
    "open_target",
    "restore",
]
