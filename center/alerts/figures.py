# SPDX-License-Identifier: Apache-2.0
"""Reads what the metrics show, each time somebody asks: a scene, the alerts, the receiver's counters. One asks at a time."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from center.alerts.look import Looker
from center.alerts.memory import Memory
from center.alerts.metrics import Figures, write_metrics
from evidence.manifest.entry import parse_entry


class Counted(Protocol):
    """What the receiver counts (`center.receive.counters`)."""

    @property
    def statuses(self) -> dict[int, int]:
        """Give the number of requests by status."""

    @property
    def received_bytes(self) -> int:
        """Give the bytes of bodies that have come."""


class FigureReader:
    """Reads the figures of one center."""

    def __init__(
        self,
        looker: Looker,
        memory: Memory,
        counters: Counted,
        channels: Sequence[str],
        clock: Callable[[], datetime],
    ) -> None:
        """Look by a `looker` of its own: those who ask are not the watch."""
        self._looker = looker
        self._memory = memory
        self._counters = counters
        self._channels = channels
        self._clock = clock
        self._lock = threading.Lock()
        self._levels: dict[tuple[str, str, str], int] = {}
        self._levels_at = -1

    def read(self) -> str:
        """Give the metrics in the text format. Raises: CenterError, OSError."""
        with self._lock:
            scene = self._looker.look(self._clock(), {})
            ledger = self._looker.center.ledger
            size = ledger.size
            if size != self._levels_at:
                self._levels, self._levels_at = self._looker.center.catalog.count_levels(), size
            return write_metrics(
                Figures(
                    scene,
                    self._memory.records(),
                    self._levels,
                    self._counters.statuses,
                    self._counters.received_bytes,
                    size,
                    parse_entry(ledger.entry(size - 1)).received if size else None,
                    {name: self._memory.count_pending(name) for name in self._channels},
                )
            )
