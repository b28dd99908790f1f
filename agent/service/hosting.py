# SPDX-License-Identifier: Apache-2.0
r"""A daemon in the hands of Windows' service manager: told to stop, and heard in its log and in the event log.

There is no console and no stderr: what the daemon writes goes to `logs\service.log` in its folder, UTF-8, bounded;
warnings and errors go to the event log too. Told to stop, the daemon has `GRACE_S` to end; then the process ends itself,
which loses nothing (docs/architecture.md, "Why a crash loses nothing"). Uses pywin32.
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.service.windows import NAME
from terminal.service.logfile import RotatingText

GRACE_S = 20.0
LINGER_S = 3.0
"""After its end the process must go: it holds the program's files, which an update replaces. Wine's dispatcher stays."""
_START_HINT_MS = 60_000
_STOP_HINT_MS = 30_000
LOG_PATH = Path("logs") / "service.log"

Daemon = Callable[[threading.Event], int]
"""Work until the event is set; give the exit code. Raises whatever it must."""


class EventLogHandler(logging.Handler):
    """Hand warnings and errors to `tell`, which is told the level and the line."""

    def __init__(self, tell: Callable[[int, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        try:
            self._tell(record.levelno, self.format(record))
        except Exception:  # noqa: BLE001 - whatever the event log has: a log must not end the daemon
            self.handleError(record)


def run_hosted(folder: Path, prepare: Callable[[], None], daemon: Daemon) -> None:
    """Give this process to the service manager until the service has stopped.

    `prepare` runs before the service says that it is running; what it or `daemon` raises, or an exit code other than 0,
    is a failure of the service, after which it is started anew.
    """
    import servicemanager

    log = RotatingText(folder / LOG_PATH)
    sys.stdout = sys.stderr = log
    servicemanager.Initialize(NAME, servicemanager.__file__)
    handler = EventLogHandler(_tell_event_log)
    logging.getLogger("agent").addHandler(handler)
    servicemanager.PrepareToHostSingle(_make_service(prepare, daemon))
    servicemanager.StartServiceCtrlDispatcher()  # type: ignore[no-untyped-call]  # so are its stubs
    log.flush()


def _tell_event_log(level: int, line: str) -> None:
    import servicemanager

    (servicemanager.LogErrorMsg if level >= logging.ERROR else servicemanager.LogWarningMsg)(line)


def _in(seconds: float, act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer


def _make_service(prepare: Callable[[], None], daemon: Daemon) -> Any:  # Any: a class of pywin32's, which has no types
    """Make the class that pywin32 wants; its module can only be had on Windows."""
    import servicemanager
    import win32service as ws
    import win32serviceutil as wsu

    class HostedService(wsu.ServiceFramework):
        """The service, as Windows calls it."""

        _svc_name_ = NAME

        def __init__(self, args: list[str]) -> None:
            super().__init__(args)
            self._stopping = threading.Event()
            self._watch: threading.Timer | None = None

        def SvcStop(self) -> None:
            """Stop, by the service manager or at the machine's end."""
            self.ReportServiceStatus(ws.SERVICE_STOP_PENDING, waitHint=_STOP_HINT_MS)
            self._stopping.set()
            self._watch = _in(GRACE_S, self._end_hard)

        SvcShutdown = SvcStop

        def SvcRun(self) -> None:
            """Say that it runs only when it can."""
            self.ReportServiceStatus(ws.SERVICE_START_PENDING, waitHint=_START_HINT_MS)
            try:
                prepare()
                self.ReportServiceStatus(ws.SERVICE_RUNNING)
                servicemanager.LogInfoMsg(f"{NAME} started")
                self.SvcDoRun()
            except BaseException as err:
                # The service manager shows a number; the reason stands in both logs.
                traceback.print_exc()
                sys.stderr.flush()
                with suppress(Exception):
                    servicemanager.LogErrorMsg(f"{NAME} failed: {err}")
                _in(LINGER_S, lambda: os._exit(1))
                raise
            if self._watch is not None:
                self._watch.cancel()
            servicemanager.LogInfoMsg(f"{NAME} stopped")
            self.ReportServiceStatus(ws.SERVICE_STOP_PENDING)
            _in(LINGER_S, lambda: os._exit(0))

        def SvcDoRun(self) -> None:
            """Run the daemon."""
            code = daemon(self._stopping)
            if code != 0 and not self._stopping.is_set():
                raise RuntimeError(f"the daemon ended with exit code {code}")

        def _end_hard(self) -> None:
            servicemanager.LogWarningMsg(f"{NAME} did not end within {GRACE_S:.0f} s and is ended; nothing is lost")
            self.ReportServiceStatus(ws.SERVICE_STOPPED)
            sys.stderr.flush()
            os._exit(0)

    return HostedService
