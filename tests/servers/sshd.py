# SPDX-License-Identifier: Apache-2.0
"""A real OpenSSH server for tests: own folder, free loopback port, no PAM, keys from one file.

It runs as whoever runs the tests, and lets in only that account; as root it needs its empty folder /run/sshd.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.servers.ports import free_port

_SETTINGS = """\
ListenAddress {listen}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {keys}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
LogLevel VERBOSE
SetEnv SHLVL=9
Subsystem sftp internal-sftp
{more}
"""
"""`more` may have a block of `Match`, which goes before what stands above it.

SHLVL: in a session of SSH at the first level bash would run the account's own `.bashrc`, which may take seconds, and wait
for ever where one that was killed in it has left a lock.
"""


class SshServer:
    """A running server. `host`, `port`, `user` lead to it; `host_key` is its public line; `keys` its authorized_keys."""

    def __init__(self, folder: Path, keys: Path, port: int, host: str = "127.0.0.1", more: Sequence[str] = ()) -> None:
        self.folder = folder
        self.keys = keys
        self.host = host
        self.port = port
        self.user = getpass.getuser()
        self.log: list[str] = []
        self.more = more
        self._process: subprocess.Popen[str] | None = None
        self._drain: threading.Thread | None = None

    @classmethod
    def create(cls, keys: Path | None = None, host: str = "127.0.0.1", more: Sequence[str] = ()) -> "SshServer":
        """Make a server with a new host key in a temporary folder, and start it. `more`: lines of its settings."""
        folder = Path(tempfile.mkdtemp(prefix="jinsuo-sshd-"))
        make_host_key(folder / "host_key")
        server = cls(folder, keys or folder / "authorized_keys", free_port(), host, more)
        server.start()
        return server

    @property
    def host_key(self) -> str:
        """Give the public host key: type and key."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def fingerprint(self) -> str:
        """Give the host key's fingerprint, as ssh-keygen prints it."""
        told = subprocess.run(
            ["ssh-keygen", "-lf", str(self.folder / "host_key.pub")], check=True, capture_output=True, text=True
        )
        return told.stdout.split()[1]

    def start(self) -> None:
        """Start it; return when it takes connections."""
        listen = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        settings = self.folder / "sshd_config"
        settings.write_text(
            _SETTINGS.format(listen=listen, folder=self.folder, keys=self.keys, more="\n".join(self.more))
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._process = subprocess.Popen(
            [find_sshd(), "-D", "-e", "-f", str(settings)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if "Server listening" in line:
                break
        else:
            raise RuntimeError(f"sshd did not start: {''.join(self.log)}")
        # The pipe must be emptied, or a full pipe stops the server.
        self._drain = threading.Thread(target=self.log.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()

    def stop(self) -> None:
        """Stop it; sessions that stand end with it, as those of a machine that goes down."""
        if self._process is None:
            return
        for child in _children(self._process.pid):
            _end(child)
        self._process.terminate()
        self._process.wait(30)
        assert self._drain is not None and self._process.stderr is not None
        self._drain.join(30)
        self._process.stderr.close()
        self._process = None

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def make_host_key(path: Path, kind: str = "ed25519") -> None:
    """Make a key pair in `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True)


def find_sshd() -> str:
    """Give the absolute path of sshd, which it insists on. Raises: RuntimeError."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("sshd is not installed: Debian's package openssh-server")
    return found


def can_listen_on_ipv6() -> bool:
    """Tell whether this machine has ::1."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    """Give the processes below `pid`, the deepest first."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            found += [*_children(child), child]
    return found


def _end(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
