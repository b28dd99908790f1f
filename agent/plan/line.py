# SPDX-License-Identifier: Apache-2.0
"""How fast the line to the center is: as a person says, or by a question that the center answers anyway.

A question about random ids of objects is sent; of a known source as many bytes come back. Counting only those that go,
the figure is the least that the line does. Writes nothing at the center. The clock comes in.
"""

import os
from collections.abc import Callable
from typing import Final

from agent.errors import CenterRefusedError
from agent.plan.figures import Line
from agent.transport.base import Transport
from agent.transport.https import NOT_FOUND
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
        _ask(road, source, ids)
        seconds = clock() - began
        if seconds >= _ENOUGH_S or count >= _MOST_IDS:
            return Line(count * _ID_BYTES * 8 / max(seconds, 1e-6), True)
        count *= 4


def _ask(road: Transport, source: str, ids: list[ObjectId]) -> None:
    try:
        road.missing(source, ids)
    except CenterRefusedError as err:
        # Of a source that it does not know yet the center says so, after it has read the whole question.
        if err.refusal != NOT_FOUND:
            raise
