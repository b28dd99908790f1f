# SPDX-License-Identifier: Apache-2.0
"""How fast the line to the center is: as a person says, or by a question that the center answers anyway.

A question about random ids of objects is sent and answered in full: about as many bytes come back as go. Counting only
those that go, the figure is the least that the line does. Writes nothing at the center. The clock comes in.
"""

import os
from collections.abc import Callable
from typing import Final

from agent.plan.figures import Line
from agent.transport.base import Transport
from evidence.digest import ObjectId

_FIRST_IDS: Final = 1024
_MOST_IDS: Final = 16_384
_ENOUGH_S: Final = 1.0
_ID_BYTES: Final = 32
"""Counted without base64 and heads, which a pack does not have."""


def probe_line(road: Transport, source: str, clock: Callable[[], float]) -> Line:
    """Measure the line by growing questions, until one takes a second. Raises: CenterDownError, CenterRefusedError."""
    road.latest(source)  # the line is up, the keys are agreed on, the center has woken
    count = _FIRST_IDS
    while True:
        ids = [ObjectId(os.urandom(_ID_BYTES)) for _ in range(count)]
        began = clock()
        road.missing(source, ids)
        seconds = clock() - began
        if seconds >= _ENOUGH_S or count >= _MOST_IDS:
            return Line(count * _ID_BYTES * 8 / max(seconds, 1e-6), True)
        count *= 4
