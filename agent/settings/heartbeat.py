# SPDX-License-Identifier: Apache-2.0
"""How often the agent tells the center how it is."""

from typing import Annotated

from pydantic import Field

from terminal.settings import Seconds, Settings


class HeartbeatSettings(Settings):
    """`every`: seconds between two heartbeats; None: none are sent, and the center hears only of snapshots."""

    every: Annotated[Seconds, Field(ge=60, le=86_400)] | None = 15 * 60
