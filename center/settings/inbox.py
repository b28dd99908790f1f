# SPDX-License-Identifier: Apache-2.0
"""The settings of drop boxes: where bags come in, where receipts go out. Relative paths are of the center's folder."""

from typing import Annotated

from pydantic import Field

from terminal.settings import Seconds, Settings


class InboxSettings(Settings):
    """One drop box.

    `settle`: a bag that is not whole, or damaged, is taken in part once nothing of it has changed for so long; `keep`:
    bags that were taken in stay so long in `done`.
    """

    folder: Annotated[str, Field(min_length=1)]
    receipts: Annotated[str, Field(min_length=1)]
    settle: Annotated[Seconds, Field(ge=1)] = 600
    keep: Annotated[Seconds, Field(ge=0)] = 7 * 86400


class InboxesSettings(Settings):
    """All drop boxes, and how often they are looked at."""

    poll: Annotated[Seconds, Field(ge=1, le=86400)] = 60
    boxes: tuple[InboxSettings, ...] = ()
