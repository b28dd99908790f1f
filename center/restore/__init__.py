# SPDX-License-Identifier: Apache-2.0
"""Restore: a snapshot of any source into SQLite, PostgreSQL or a folder, and the proof that the copy is equal."""

from center.restore.places import open_target
from center.restore.readback import Differences
from center.restore.restore import Progress, RestoreReport, TableReport, restore
from center.restore.target import Placement, Target

__all__ = [
    "Differences",
    "Placement",
    "Progress",
    "RestoreReport",
    "TableReport",
    "Target",
    "open_target",
    "restore",
]
