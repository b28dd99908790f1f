# SPDX-License-Identifier: Apache-2.0
"""What a daemon logs: one line an event, fixed words and then facts as `name=value`, to stderr, for journald or a file.

    2025-07-01T02:03:04.512Z INFO agent.cli.run spool sent source=his bytes=8123

Facts come as `extra=`; times are UTC. No event spans two lines, whatever its facts hold. No cell values, keys or
passwords are ever passed in. `evidence` does not log.
"""

import json
import logging
from datetime import UTC, datetime
from typing import TextIO

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """Write a record as one line of words and facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; a trace, where there is one, as the fact `trace`."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = {name: value for name, value in record.__dict__.items() if name not in _OWN}
        if record.exc_info:
            facts["trace"] = self.formatException(record.exc_info)
        told = "".join(f" {name}={_write(value)}" for name, value in facts.items())
        return f"{when} {record.levelname} {record.name} {_flat(record.getMessage())}{told}"


def set_up_logging(stream: TextIO) -> None:
    """Send our own events from INFO up to `stream`, libraries' from WARNING, one a line; replaces what was set up."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for side in ("agent", "center"):
        logging.getLogger(side).setLevel(logging.INFO)


def _flat(text: str) -> str:
    """Write text on one line: a line end in it could pass for another event."""
    return text if text.isprintable() else json.dumps(text, ensure_ascii=True)[1:-1]


def _write(value: object) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    plain = text.isprintable() and not any(char in text for char in ' "=') and text != ""
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
