# SPDX-License-Identifier: Apache-2.0
"""`throttle:` in agent.yaml, of all sources and of one: how a source and its machine are spared."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from terminal.language import Text
from terminal.settings import Seconds, Settings, SizeBytes, mistake

_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")


def _check_hours(text: str) -> str:
    if not _HOURS.fullmatch(text) or text[:5] == text[6:]:
        raise mistake(Text(zh="本地时间的时段，例如 07:30-18:00", en="a part of the day, such as 07:30-18:00"))
    return text


Percent = Annotated[float, Field(gt=0, le=100)]
Rate = Annotated[SizeBytes, Field(ge=64 << 10)]
"""Bytes a second. Slower than 64 KiB/s, a pack would not be through before the center gives up on it."""


class SourceThrottle(Settings):
    """How a source is spared: what is written here goes before the global `throttle`. None: no such limit."""

    max_cpu: Percent | None = None
    max_io_wait: Percent | None = None
    min_free_memory: Annotated[SizeBytes, Field(ge=0)] | None = None
    max_load: Annotated[float, Field(gt=0)] | None = None
    begin_within: Annotated[Seconds, Field(ge=0)] = 30 * 60
    share: Percent | None = None
    read_rate: Rate | None = None
    send_rate: Rate | None = None
    quiet_hours: Annotated[str, AfterValidator(_check_hours)] | None = None
    quiet_rate: Rate | None = None
    max_latency: Annotated[float, Field(gt=1)] | None = 8.0


class ThrottleSettings(SourceThrottle):
    """How all sources are spared, and how far the agent's processes step back on their machine."""

    priority: Literal["low", "normal"] = "low"
