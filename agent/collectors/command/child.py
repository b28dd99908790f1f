# SPDX-License-Identifier: Apache-2.0
"""Start a command and end it. On POSIX behind a keeper (`keeper.py`), which ends it also when the agent is killed.

On Windows a job object does the same (`job.py`). First the command is asked to end: SIGTERM, on Windows Ctrl-Break; then
it is ended with all that it started. The shell is never used.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from agent.collectors.command.job import CREATE_SUSPENDED, Job
from agent.errors import SourceError
from terminal.errors import words_of
from terminal.language import Text

_KEEPER: Final = Path(__file__).with_name("keeper.py")
_LAST_WAIT_S: Final = 15.0
_NEW_GROUP: Final = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_BREAK: Final[int] = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)


class Child(Protocol):
    """A command that was started. Not thread-safe, but for the reading of its streams."""

    stdout: BinaryIO
    stderr: BinaryIO

    def wait(self, timeout_s: float) -> int | None:
        """Give the exit status (negative: the signal that ended it), or None if it has not ended in that time."""

    def stop(self) -> None:
        """End it and what it started, if they still run; let everything go. May be called again."""


def start_child(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, grace_s: float) -> Child:
    """Start a command with nothing on its standard input. Raises: SourceError if the system cannot start it."""
    if os.name == "nt" or not hasattr(os, "waitid"):  # pragma: no cover - Windows, old macOS
        return PlainChild(argv, env, cwd, grace_s)
    return _KeptChild(argv, env, cwd, grace_s)


def refuse_start(program: str, reason: Text | str) -> SourceError:
    """Say that a command cannot be started. Only the program is named: other words may be private."""
    why = words_of(reason)
    return SourceError(
        Text(zh=f"{program} 启动不了：{why.zh}", en=f"{program} cannot be started: {why.en}"),
        hint=Text(
            zh="检查 argv 和 cwd，以及采集端的账户能否运行它；命令不经 shell",
            en="check `argv` and `cwd`, and that the agent's account may run it; it is run without a shell",
        ),
    )


class _KeptChild:
    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, grace_s: float) -> None:
        self._grace_s = grace_s
        self._code: int | None = None
        self._pid = 0
        mine, its = os.pipe()
        self._report = os.fdopen(mine, "rb", buffering=0)
        try:
            self._keeper = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", str(_KEEPER), str(its), str(grace_s)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                pass_fds=(its,), start_new_session=True,
            )  # fmt: skip
        except OSError as err:
            self._report.close()
            raise refuse_start(argv[0], err.strerror or str(err)) from err
        finally:
            os.close(its)
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        assert self._keeper.stderr is not None
        self._lifeline = self._keeper.stdin
        self.stdout: BinaryIO = self._keeper.stdout  # type: ignore[assignment]  # IO[bytes] is what Popen promises
        self.stderr: BinaryIO = self._keeper.stderr  # type: ignore[assignment]  # as above
        try:
            _write_all(self._lifeline.fileno(), _encode_order(argv, env, cwd))
            self._pid = self._await_start(argv[0])
        except BaseException:
            self.stop()
            self.stdout.close()
            self.stderr.close()
            raise

    def _await_start(self, program: str) -> int:
        first = json.loads(self._report.readline() or b'{"failed": "its keeper ended"}')
        if "failed" in first:
            raise refuse_start(program, str(first["failed"]))
        return int(first["started"])

    def wait(self, timeout_s: float) -> int | None:
        if self._code is None and _is_readable(self._report.fileno(), timeout_s):
            last = self._report.readline()
            # A keeper that was killed says nothing more; what became of the command is not known.
            self._code = json.loads(last)["ended"] if last else -9
        return self._code

    def stop(self) -> None:
        if self._lifeline.closed:
            return
        self._lifeline.close()
        try:
            self._keeper.wait(self._grace_s + _LAST_WAIT_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._report.close()
        if self._keeper.returncode < 0 and self._pid > 0:
            # Somebody has killed the keeper: its work is ours.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)


class PlainChild:
    """A command without a keeper: in a job on Windows; elsewhere alone, and what it started is not reached."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None, grace_s: float) -> None:
        self._grace_s = grace_s
        self._job: Job | None = None
        try:
            if os.name == "nt":  # pragma: no cover - Windows
                self._job = Job()
            self._process = self._start(argv, env, cwd)
        except OSError as err:
            if self._job is not None:  # pragma: no cover - Windows
                self._job.end()
            raise refuse_start(argv[0], err.strerror or str(err)) from err
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdout: BinaryIO = self._process.stdout  # type: ignore[assignment]  # IO[bytes] is what Popen promises
        self.stderr: BinaryIO = self._process.stderr  # type: ignore[assignment]  # as above

    def wait(self, timeout_s: float) -> int | None:
        """See `Child`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """See `Child`."""
        if self._process.poll() is None and (not self._ask_to_end() or self.wait(self._grace_s) is None):
            self._process.kill()
        if self._job is not None:  # pragma: no cover - Windows
            self._job.end()
        self._process.wait()

    def _ask_to_end(self) -> bool:
        try:
            self._process.send_signal(_BREAK)
        except (OSError, SystemError):
            # A service has no console to send Ctrl-Break by; of that, CPython makes a SystemError.
            return False
        return True

    def _start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(  # noqa: S603 - the words of the operator's settings, without a shell
            list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0, creationflags=0 if self._job is None else CREATE_SUSPENDED | _NEW_GROUP,
        )  # fmt: skip
        if self._job is not None:  # pragma: no cover - Windows
            try:
                self._job.adopt(process)
            except OSError:
                process.kill()
                raise
        return process


def _encode_order(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> bytes:
    """Write what the keeper is to start. Latin-1 carries the bytes that the system takes, whatever the locale."""

    def carry(text: str) -> str:
        return os.fsencode(text).decode("latin-1")

    order = {
        "argv": [carry(word) for word in argv],
        "env": {carry(name): carry(value) for name, value in env.items()},
        "cwd": carry(str(cwd)) if cwd else None,
    }
    return json.dumps(order).encode("ascii") + b"\n"


def _is_readable(descriptor: int, timeout_s: float) -> bool:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(timeout_s * 1000))


def _write_all(descriptor: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(descriptor, view) :]
