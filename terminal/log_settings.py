# SPDX-License-Identifier: Apache-2.0
"""How a daemon's log is written, as both daemons have it in their settings."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from terminal.settings import Settings, SizeBytes


class LogSettings(Settings):
    """`file` None: to stderr, for journald or whoever started the daemon. A file of `max_size` is put aside, `keep` of them stay."""

    format: Literal["text", "json"] = "text"
    file: Path | None = None
    max_size: Annotated[SizeBytes, Field(ge=64 << 10)] = 20 << 20
    keep: Annotated[int, Field(ge=1, le=1000)] = 10
