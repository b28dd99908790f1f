# SPDX-License-Identifier: Apache-2.0
"""What a run of a source works with, beside its source. Nothing is done here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from agent.holdings import Holdings
from agent.journal import Journal
from agent.snapshot.carrying import ReadPlan
from agent.snapshot.onway import NothingOnWay, OnWay
from agent.spool import Spool
from agent.transport.base import Transport
from agent.transport.send import Parties
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.statement import Channel


@dataclass(frozen=True, slots=True)
class Desk:
    """The agent's folder and memory, the source's spool, keys, the line, the clock."""

    folder: Path
    journal: Journal
    holdings: Holdings
    spool: Spool
    unit: str
    signer: Ed25519Signer
    parties: Parties
    connect: Callable[[], Transport]
    clock: Callable[[], datetime]
    version: str
    plan: ReadPlan = field(default_factory=ReadPlan)
    channel: Channel = Channel.ONLINE
    on_way: OnWay = field(default_factory=NothingOnWay)
    max_age: timedelta | None = None
    before: Ed25519Signer | None = None
    """The key that gives way to `signer` while the center may not know that yet."""
