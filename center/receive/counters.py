# SPDX-License-Identifier: Apache-2.0
"""What the receiver has done since its start, counted: requests by status, bytes of bodies. Thread-safe; no clock."""

import threading
from collections import Counter


class Counters:
    """The counters of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Counter[int] = Counter()
        self._received_bytes = 0

    def count(self, status: int, body_bytes: int) -> None:
        """Count a request that was answered with `status`, after so many bytes of its body had come."""
        with self._lock:
            self._statuses[status] += 1
            self._received_bytes += body_bytes

    @property
    def statuses(self) -> dict[int, int]:
        """Give the number of requests by the status of their answer."""
        with self._lock:
            return dict(sorted(self._statuses.items()))

    @property
    def received_bytes(self) -> int:
        """Give the bytes of bodies that have come."""
        with self._lock:
            return self._received_bytes
