# SPDX-License-Identifier: Apache-2.0
"""What a daemon logs: one line an event, fixed words and then facts, to stderr for journald, or to a file that is rotated.

    2025-07-01T02:03:04.512Z INFO agent.cli.run spool sent source=his bytes=8123
    {"at":"2025-07-01T02:03:04.512Z","level":"INFO","logger":"agent.cli.run","event":"spool sent","source":"his","bytes":8123}

Facts come as `extra=`; times are UTC. No event spans two lines, whatever its facts hold. No cell values, keys or
passwords are ever passed in. `evidence` does not log.
"""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    # Settings take pydantic, which commands that log nothing do not need.
    from terminal.log_settings import LogSettings

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class LineFormatter(logging.Formatter):
    """Write a record as one line of words and facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; a trace, where there is one, as the fact `trace`."""
        told = "".join(f" {name}={_write(value)}" for name, value in _facts(record, self.formatException).items())
        return f"{_when(record)} {record.levelname} {record.name} {_flat(record.getMessage())}{told}"


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object on one line. A fact that has the name of one of its own members ends in `_`."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        document: dict[str, object] = {
            "at": _when(record), "level": record.levelname, "logger": record.name, "event": record.getMessage(),
        }  # fmt: skip
        for name, value in _facts(record, self.formatException).items():
            document[f"{name}_" if name in document else name] = value
        return json.dumps(document, ensure_ascii=False, default=_plain, separators=(",", ":"))


def set_up_logging(stream: TextIO, settings: "LogSettings | None" = None, folder: Path | None = None) -> None:
    """Send our own events from INFO up, libraries' from WARNING, one a line; replaces what was set up.

    To `stream`, or where `settings` has a file to that (relative: from `folder`), which is put aside when it is full.
    Raises: OSError if the file cannot be written.
    """
    handler: logging.Handler = logging.StreamHandler(stream)
    if settings is not None and settings.file is not None:
        path = (folder or Path()) / settings.file
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            path, maxBytes=settings.max_size, backupCount=settings.keep, encoding="utf-8", errors="backslashreplace"
        )
    is_json = settings is not None and settings.format == "json"
    handler.setFormatter(JsonFormatter() if is_json else LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for side in ("agent", "center", "terminal"):
        logging.getLogger(side).setLevel(logging.INFO)


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord, trace: "Callable[..., str]") -> dict[str, object]:
    """Give the facts of a record; a trace, where there is one, as the fact `trace`."""
    facts = {name: value for name, value in record.__dict__.items() if name not in _OWN}
    if record.exc_info:
        facts["trace"] = trace(record.exc_info)
    return facts


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _flat(text: str) -> str:
    """Write text on one line: a line end in it could pass for another event."""
    return text if text.isprintable() else json.dumps(text, ensure_ascii=True)[1:-1]


def _write(value: object) -> str:
    text = _plain(value)
    plain = text.isprintable() and not any(char in text for char in ' "=') and text != ""
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
