# SPDX-License-Identifier: Apache-2.0
"""Watching: tell when a folder or a SQLite file has changed and stands still again, so that a snapshot is due.

Events are hints, a settle time proves a file whole, a reconciling look decides: `rules` is that sentence as a state
machine, `looking` the look, `hints` the events of the system, `watch` puts them together. Nothing here takes a snapshot.
"""

from agent.collectors.watch.hints import Hints, NoHints, SystemHints
from agent.collectors.watch.looking import FolderLook, Look, Seen, SqliteLook
from agent.collectors.watch.rules import Pace, Settling, Verdict
from agent.collectors.watch.watch import Ready, SourceWatch

__all__ = [
    "FolderLook",
    "Hints",
    "Look",
    "NoHints",
    "Pace",
    "Ready",
    "Seen",
    "Settling",
    "SourceWatch",
    "SqliteLook",
    "SystemHints",
    "Verdict",
]
