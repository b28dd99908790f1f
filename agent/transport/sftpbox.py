# SPDX-License-Identifier: Apache-2.0
"""A drop box on an SFTP server: `.<bag>.part` is filled file by file, pipelined, then renamed in one step.

Who answers is proven by the pinned host key before anything is sent, as on the road by SSH (`ssh.py`); what it may read is
sealed. An upload that was cut goes on: files that are there in full are left, one that is there in part is continued; that
the server kept what it was sent is for the center to check, and the spool keeps all of it until the receipt.
Not thread-safe. Source: draft-ietf-secsh-filexfer-02; posix-rename@openssh.com; paramiko 5.
"""

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

import httpcore
import paramiko

from agent.errors import DropBoxError
from agent.transport.base import SendPace, unpaced
from agent.transport.ssh import SshWay
from evidence.bag.receipts import is_receipts_name
from terminal.language import Text

TIMEOUT_S: Final = 30.0
LOOK_S: Final = 300.0
"""For a list of the inbox, or one file of receipts, of 16 MiB at most."""
_MOST_NAMES: Final = 100_000
_CHUNK: Final = 32 << 10
"""One write of SFTP: every server takes so much, and answers while the next ones are on their way."""
_WINDOW: Final = 4 << 20
_MAX_PACKET: Final = 1 << 15


class SftpBox:
    """An outbox and an inbox on an SFTP server. The session is opened with the first act."""

    def __init__(self, way: SshWay, outbox: str, inbox: str, look_s: float = LOOK_S) -> None:
        """Name the server and the folders, which must be there; a look at the inbox takes at most `look_s`."""
        self._way = way
        self._outbox = outbox.rstrip("/") or "/"
        self._inbox = inbox.rstrip("/") or "/"
        self._look_s = look_s
        self._session: paramiko.Transport | None = None
        self._sftp: paramiko.SFTPClient | None = None

    def __enter__(self) -> "SftpBox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        session, self._session, self._sftp = self._session, None, None
        if session is not None:
            session.close()
            session.sock.close()

    def put(self, name: str, folder: Path, pace: SendPace = unpaced, after: SendPace = unpaced) -> None:
        """Put the bag that lies in `folder` into the outbox, under `name`."""
        with self._opened() as sftp:
            target, part = f"{self._outbox}/{name}", f"{self._outbox}/.{name}.part"
            if _find(sftp, target) is not None:
                return
            for base, _, names in os.walk(folder):
                below = "/".join([part, *Path(base).relative_to(folder).parts])
                _make_folder(sftp, below)
                for each in sorted(names):
                    _put_file(sftp, Path(base) / each, f"{below}/{each}", pace, after)
            _rename(sftp, part, target)

    def check(self) -> None:
        """Raises: DropBoxError unless both folders can be read, and the outbox written."""
        with self._opened() as sftp:
            probe = f"{self._outbox}/.probe.{os.getpid()}.part"
            sftp.mkdir(probe)
            sftp.rmdir(probe)
        self.receipts()

    def receipts(self) -> list[str]:
        """Give the names of the files of receipts in the inbox."""
        with self._opened() as sftp, self._looking():
            found: list[str] = []
            for count, entry in enumerate(sftp.listdir_iter(self._inbox)):
                if count == _MOST_NAMES:
                    raise OSError(f"{self._inbox} has more than {_MOST_NAMES} files")
                if is_receipts_name(entry.filename):
                    found.append(entry.filename)
            return sorted(found)

    def read(self, name: str, most: int) -> bytes:
        """Give a file of receipts."""
        with self._opened() as sftp, self._looking(), sftp.open(f"{self._inbox}/{name}", "rb") as file:
            size = min(file.stat().st_size or 0, most)
            file.prefetch(size)
            parts: list[bytes] = []
            while size > 0 and (part := file.read(min(size, 1 << 20))):
                parts.append(part)
                size -= len(part)
            return b"".join(parts)

    def remove(self, name: str) -> None:
        """Remove a file of receipts."""
        with self._opened() as sftp:
            try:
                sftp.remove(f"{self._inbox}/{name}")
            except FileNotFoundError:
                return

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """End the session if what is done takes too long: a server that answers just often enough would hold us for ever."""
        session = self._session
        assert session is not None
        is_over = threading.Event()

        def end() -> None:
            is_over.set()
            session.close()

        timer = threading.Timer(self._look_s, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (OSError, EOFError, paramiko.SSHException) as err:
            if is_over.is_set():
                raise OSError(f"no end within {self._look_s:.0f} s") from err
            raise
        finally:
            timer.cancel()

    @contextmanager
    def _opened(self) -> Iterator[paramiko.SFTPClient]:
        """Have a session; what is wrong with it or the folders is told as one error, and the session is given up."""
        try:
            if self._sftp is None:
                self._session = self._way.session(TIMEOUT_S)
                self._sftp = _begin(self._session)
            yield self._sftp
        except (OSError, EOFError, paramiko.SSHException, httpcore.NetworkError, httpcore.TimeoutException) as err:
            self.close()
            raise DropBoxError(
                Text(
                    zh=f"SFTP 收发目录 {self._way.name} 不能读写：{err or type(err).__name__}",
                    en=f"the drop box at {self._way.name} cannot be read or written: {err or type(err).__name__}",
                ),
                hint=Text(
                    zh="检查线路、服务器上的目录与权限（agent.yaml 的 road.sftp）；数据不会丢失，稍后自动重试",
                    en="look at the line, the server's folders and their rights (`road.sftp` in agent.yaml); nothing is "
                    "lost, it is tried again later",
                ),
            ) from err


def _begin(session: paramiko.Transport) -> paramiko.SFTPClient:
    """Begin SFTP in a session. Raises: SSHException."""
    sftp = paramiko.SFTPClient.from_transport(session, _WINDOW, _MAX_PACKET)
    if sftp is None:
        raise paramiko.SSHException("the server opens no SFTP")
    channel = sftp.get_channel()
    if channel is not None:
        channel.settimeout(TIMEOUT_S)
    return sftp


def _put_file(sftp: paramiko.SFTPClient, path: Path, target: str, pace: SendPace, after: SendPace) -> None:
    """Upload a file, or the rest of it. Raises: OSError, SSHException."""
    size = path.stat().st_size
    there = _find(sftp, target)
    start = 0 if there is None or there > size else there
    if there == size:
        return
    with path.open("rb") as source, sftp.open(target, "r+b" if start else "wb") as file:
        file.set_pipelined(True)
        source.seek(start)
        file.seek(start)
        while part := source.read(_CHUNK):
            pace(len(part))
            file.write(part)
    found = _find(sftp, target)
    if found != size:
        raise OSError(f"the server keeps {found} of {size} bytes of {target}")
    after(size)


def _find(sftp: paramiko.SFTPClient, path: str) -> int | None:
    """Give the size of what is at `path`; None if nothing is."""
    try:
        return sftp.stat(path).st_size or 0
    except FileNotFoundError:
        return None


def _make_folder(sftp: paramiko.SFTPClient, path: str) -> None:
    try:
        mode = sftp.stat(path).st_mode or 0
    except FileNotFoundError:
        sftp.mkdir(path)
        return
    if not stat.S_ISDIR(mode):
        raise OSError(f"{path} is no folder")


def _rename(sftp: paramiko.SFTPClient, old: str, new: str) -> None:
    """Rename in one step; where the server has no such step of its own, by SFTP's, which never overwrites."""
    try:
        sftp.posix_rename(old, new)
    except OSError:
        sftp.rename(old, new)
