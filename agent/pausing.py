# SPDX-License-Identifier: Apache-2.0
"""The operator's word that the agent shall leave everything alone: one small durable file, until it ends or is taken back.

    paused.json    {"since": "2026-11-26T02:00:00Z", "until": "2026-11-26T06:00:00Z" or null}

Whoever finds a file that cannot be read takes it for a pause without end: to stand still is the harmless mistake.
No clock: "now" comes in. Source: decision 0044.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import PausedError
from evidence.disk import write_over
from terminal.language import Text
from terminal.printer import format_utc

PAUSE_NAME = "paused.json"


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause, in aware UTC. `until` None: until it is taken back."""

    since: datetime
    until: datetime | None

    def is_over(self, now: datetime) -> bool:
        """Tell whether its end has come."""
        return self.until is not None and now >= self.until

    def refusal(self) -> PausedError:
        """Give the error for an act that is not begun, or ended, because of this pause."""
        end = self.until.astimezone().isoformat(sep=" ", timespec="minutes") if self.until else None
        return PausedError(
            Text(
                zh=f"采集端已暂停，直到 {end}" if end else "采集端已暂停，直到恢复",
                en=f"the agent is paused until {end}" if end else "the agent is paused until it is resumed",
            ),
            hint=Text(
                zh="运行 `jinsuo-agent resume` 恢复；--force 仅放行这一次",
                en="run `jinsuo-agent resume` to go on; --force lets this one act through",
            ),
        )


class PauseFile:
    """The pause of one agent's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PAUSE_NAME

    def find(self, now: datetime) -> Pause | None:
        """Give the pause that is in force, or None. One `stat` where there is none."""
        try:
            raw = self._path.read_bytes()
            status = self._path.stat()
        except FileNotFoundError:
            return None
        pause = _parse(raw) or Pause(datetime.fromtimestamp(status.st_mtime, UTC), None)
        return None if pause.is_over(now) else pause

    def set(self, pause: Pause) -> None:
        """Keep a pause, durably, in the place of another. Raises: OSError."""
        document = {"since": format_utc(pause.since), "until": format_utc(pause.until) if pause.until else None}
        write_over(self._path, json.dumps(document).encode())

    def clear(self) -> None:
        """Take the pause back. Raises: OSError."""
        with suppress(FileNotFoundError):
            self._path.unlink()


def _parse(raw: bytes) -> Pause | None:
    try:
        document = json.loads(raw)
        since = datetime.fromisoformat(document["since"])
        until = None if document["until"] is None else datetime.fromisoformat(document["until"])
    except (ValueError, TypeError, KeyError):
        return None
    if since.tzinfo is None or (until is not None and until.tzinfo is None):
        return None
    return Pause(since.astimezone(UTC), until and until.astimezone(UTC))
