# SPDX-License-Identifier: Apache-2.0
"""The agent's end of the driver's process: started, asked one thing at a time, ended. Threads; a monotonic clock.

Whatever the driver does there, here it is one error: the process died, it was silent for longer than its time limit, it
sent more than a frame may hold or what nobody asked for. Then it is ended, and the error stays: a session is never half
alive. Memory is bounded by one frame.
"""

import contextlib
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

from agent.collectors.odbc import child
from agent.errors import DriverError
from terminal.language import Text

COMMAND: Final = (sys.executable, "-I", str(Path(child.__file__)))
_POLL_S: Final = 0.5
_FAREWELL_S: Final = 5.0
_WORDS_KEPT: Final = 5
_LONGEST_WORD: Final = 500

Watch = Callable[[], None]
"""Called while an answer is waited for, about twice a second. If it raises, what runs is aborted; the session goes on."""


class StatementError(Exception):
    """The driver or the server refused a statement. Attributes: `state` (SQLSTATE or ``), `text`."""

    def __init__(self, state: str, text: str) -> None:
        super().__init__(f"{text} ({state})" if state else text)
        self.state = state
        self.text = text


class DriverProcess:
    """A process with a driver in it. One thread; `close` it. `what` names the source in errors."""

    def __init__(self, what: str, stall_limit_s: float, watch: Watch, command: Sequence[str] = COMMAND) -> None:
        """Raises: DriverError if no process can be started."""
        self._what = what
        self._stall_limit_s = stall_limit_s
        self._watch = watch
        self._number = 0
        self._failure: DriverError | None = None
        self._words: deque[str] = deque(maxlen=_WORDS_KEPT)
        self._frames: queue.Queue[tuple[bytes, Any] | ValueError | None] = queue.Queue(maxsize=2)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own file
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError as err:
            raise DriverError(
                Text(
                    zh=f"{what} 的驱动进程启动不了：{err}",
                    en=f"no process for the driver of {what} can be started: {err}",
                ),
                hint=Text(zh="检查本机的内存和限制", en="check memory and limits of the host"),
            ) from err
        self._pumps = [threading.Thread(target=pump, daemon=True) for pump in (self._take_frames, self._take_words)]
        for pump in self._pumps:
            pump.start()

    def ask(self, kind: bytes, **value: object) -> Any:
        """Ask and wait for the answer. Raises: StatementError; DriverError, after which every call raises it again."""
        self.send(kind, **value)
        return self.receive()

    def send(self, kind: bytes, **value: object) -> None:
        """Ask; `receive` gives the answer. Raises: DriverError."""
        if self._failure is not None:
            raise self._failure
        self._number += 1
        try:
            child.write_frame(self._stdin, kind, {"number": self._number, **value})
        except OSError as err:
            raise self._fail_of_death() from err

    def receive(self) -> Any:
        """Wait for the answer to what was sent last. Raises: StatementError, DriverError, what `watch` raises."""
        if self._failure is not None:
            raise self._failure
        kind, value = self._next_frame()
        if not isinstance(value, dict) or value.get("number") != self._number:
            raise self._fail(
                Text(zh="应答了没有问的事", en="answered what nobody asked"),
                Text(zh="驱动写到了不该写的地方：更新驱动", en="the driver writes where it must not: update it"),
            )
        if kind == b"X":
            raise StatementError(str(value["state"]), " ".join(str(value["text"]).split()))
        return value

    def close(self) -> None:
        """Say goodbye, or end what does not go by itself: first what it does at the server, then the process."""
        if self._process.poll() is None and self._failure is None:
            with contextlib.suppress(OSError):
                child.write_frame(self._stdin, b"A", {})
                child.write_frame(self._stdin, b"B", {"number": 0})
            self._drain(time.monotonic() + _FAREWELL_S)
        if self._failure is None:
            self._failure = DriverError(
                Text(zh=f"与 {self._what} 的会话已经关闭", en=f"the session with {self._what} was closed"),
                hint=Text(zh="重新打开该来源", en="open the source again"),
            )
        self._end()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _next_frame(self) -> tuple[bytes, Any]:
        deadline = time.monotonic() + self._stall_limit_s
        while True:
            try:
                frame = self._frames.get(timeout=max(0.01, min(_POLL_S, deadline - time.monotonic())))
            except queue.Empty:
                try:
                    self._watch()
                except BaseException:
                    self._abort()
                    raise
                if time.monotonic() >= deadline:
                    raise self._fail(
                        Text(
                            zh=f"已 {self._stall_limit_s:.0f} 秒没有应答",
                            en=f"gave no answer for {self._stall_limit_s:.0f} s",
                        ),
                        Text(zh="若它确实要这么久，调大 stall_timeout", en="raise stall_timeout if it works that long"),
                    ) from None
                continue
            if frame is None:
                raise self._fail_of_death()
            if isinstance(frame, ValueError):
                raise self._fail(
                    Text(zh=f"送来的不是应答：{frame}", en=f"sent something else than an answer: {frame}"),
                    Text(zh="更新驱动", en="update the driver"),
                ) from frame
            return frame

    def _abort(self) -> None:
        """Have what runs ended at the server, and take its answer, so that question and answer stay in step."""
        try:
            child.write_frame(self._stdin, b"A", {})
            frame = self._frames.get(timeout=_FAREWELL_S)
        except (OSError, queue.Empty):
            frame = None
        if not isinstance(frame, tuple):
            self._fail(
                Text(zh="没能停下正在做的事", en="could not be stopped in what it did"),
                Text(
                    zh="重试；服务器发现我们已离开，会结束它",
                    en="try again; the server ends it when it sees that we are gone",
                ),
            )

    def _drain(self, deadline: float) -> None:
        """Take what is still sent, so that nothing keeps the process from ending."""
        while time.monotonic() < deadline:
            try:
                if not isinstance(self._frames.get(timeout=_POLL_S / 5), tuple):
                    break
            except queue.Empty:
                if self._process.poll() is not None:
                    return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.1, deadline - time.monotonic()))

    def _fail_of_death(self) -> DriverError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_FAREWELL_S)
        self._pumps[1].join(_FAREWELL_S)
        words, status = " / ".join(self._words), self._process.poll()
        return self._fail(
            Text(
                zh=f"结束了，状态 {status}" + (f"，最后的话：{words}" if words else ""),
                en=f"ended with status {status}" + (f", its last words: {words}" if words else ""),
            ),
            Text(zh="更新驱动，或用 `exclude` 排除该表", en="update the driver, or leave the table out with `exclude`"),
        )

    def _fail(self, how: Text, hint: Text) -> DriverError:
        self._failure = DriverError(
            Text(
                zh=f"{self._what} 的 ODBC 驱动进程{how.zh}", en=f"the ODBC driver's process for {self._what} {how.en}"
            ),
            hint=hint,
        )
        self._end()
        return self._failure

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._stdin.close()
        # A full queue would keep the pump from seeing the end.
        while self._pumps[0].is_alive():
            with contextlib.suppress(queue.Empty):
                self._frames.get_nowait()
            self._pumps[0].join(0.01)
        self._pumps[1].join()
        for file in (self._process.stdout, self._process.stderr):
            assert file is not None
            file.close()

    def _take_frames(self) -> None:
        assert self._process.stdout is not None
        try:
            while (frame := child.read_frame(self._process.stdout)) is not None:
                self._frames.put(frame)
        except (ValueError, RecursionError) as err:
            self._frames.put(ValueError(f"{err}"[:200]))
            return
        except OSError:
            pass
        self._frames.put(None)

    def _take_words(self) -> None:
        assert self._process.stderr is not None
        while line := self._process.stderr.readline(_LONGEST_WORD):
            if words := " ".join(line.decode("utf-8", "replace").split()):
                self._words.append(words)
