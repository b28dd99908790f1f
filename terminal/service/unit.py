# SPDX-License-Identifier: Apache-2.0
"""The text of a systemd unit for a daemon, with everything closed that it does not need.

Text from facts; only `find_program` looks, where this program is installed. Invariant: the same facts give the same
text, so whoever compares it with the installed one sees whether they changed; no path or word can add a line or a
directive. Source: systemd.unit(5), systemd.service(5), systemd.exec(5), sysusers.d(5).
"""

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CREDENTIAL_STORE = PurePosixPath("/etc/credstore")


@dataclass(frozen=True, slots=True)
class Unit:
    """What one service is and may do.

    `also_own`: more folders of its own, such as a spool elsewhere. `writable`: what it may write besides its own, as far as
    the account may; a path that is not there does not matter. `reads_any_file`: though the account
    has no rights to it. `credentials`: names; the file of one is `credential_file(name)`, only root's.
    `low_ports`: it may listen below 1024. `sees_tmp`: what lies in /tmp is the machine's and not its own.
    """

    name: str
    title: str
    argv: tuple[str, ...]
    user: str
    folder: PurePosixPath
    memory_max: str
    steps_back: bool
    also_own: tuple[PurePosixPath, ...] = ()
    writable: tuple[PurePosixPath, ...] = ()
    credentials: tuple[str, ...] = ()
    sees_tmp: bool = False
    reads_any_file: bool = False
    low_ports: bool = False
    watchdog_s: int = 120
    start_s: int = 120
    stop_s: int = 60

    @property
    def file_name(self) -> str:
        """Give the unit's file name."""
        return f"{self.name}.service"

    @property
    def owned(self) -> tuple[PurePosixPath, ...]:
        """Give the folders that the account owns, its own first."""
        return tuple(dict.fromkeys((self.folder, *self.also_own)))

    def credential_file(self, name: str) -> PurePosixPath:
        """Give where root keeps a credential of this service."""
        return credential_file(self.name, name)

    def encode(self) -> str:
        """Give the unit file."""
        sections = {"Unit": self._unit(), "Service": self._service(), "Install": ["WantedBy=multi-user.target"]}
        body = "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in sections.items())
        return _HEAD.format(name=self.name) + body

    def encode_sysusers(self) -> str:
        """Give what makes the account: a system account that cannot log in."""
        about = self.title.replace(":", ",")  # which parts the fields of /etc/passwd
        return f"u {self.user} - {_quote(about)} {_path(self.folder)} -\n"

    def _unit(self) -> list[str]:
        return [
            f"Description={_escape(self.title)}",
            "Wants=network-online.target",
            "After=network-online.target time-sync.target",
            "RequiresMountsFor=" + " ".join(_path(path) for path in self.owned),
            "# However often it fails, it is tried again: nobody may be there to look.",
            "StartLimitIntervalSec=0",
        ]

    def _service(self) -> list[str]:
        return [
            "Type=notify",
            "NotifyAccess=main",
            # And its own group, whatever that is called.
            f"User={self.user}",
            f"WorkingDirectory={_plain_path(self.folder)}",
            "ExecStart=" + " ".join(_word(word) for word in self.argv),
            f"WatchdogSec={self.watchdog_s}",
            f"TimeoutStartSec={self.start_s}",
            f"TimeoutStopSec={self.stop_s}",
            "Restart=on-failure",
            "RestartSec=60",
            "KillMode=mixed",
            "UMask=0077",
            # What the watchdog aborts would be written down whole, keys and passwords in it.
            "LimitCORE=0",
            *(f"LoadCredential={name}:{self.credential_file(name)}" for name in self.credentials),
            *self._load(),
            *self._walls(),
        ]

    def _load(self) -> list[str]:
        if not self.steps_back:
            return [f"MemoryMax={self.memory_max}"]
        return [
            "# The live system goes first: for processors, disks and memory.",
            "Nice=10",
            "IOSchedulingClass=best-effort",
            "IOSchedulingPriority=7",
            "CPUWeight=20",
            "IOWeight=20",
            "OOMScoreAdjust=500",
            f"MemoryMax={self.memory_max}",
        ]

    def _walls(self) -> list[str]:
        # ProtectHome is not `yes`: a source may lie in a home, and settings may name one later, without a new unit.
        asked = {"CAP_DAC_READ_SEARCH": self.reads_any_file, "CAP_NET_BIND_SERVICE": self.low_ports}
        capabilities = " ".join(name for name, is_needed in asked.items() if is_needed)
        owned = self.owned
        others = [path for path in dict.fromkeys(self.writable) if not any(path.is_relative_to(own) for own in owned)]
        writable = [*(_path(path) for path in owned), *(_path(path, optional=True) for path in others)]
        return [
            "NoNewPrivileges=yes",
            f"CapabilityBoundingSet={capabilities}",
            f"AmbientCapabilities={capabilities}",
            "ProtectSystem=strict",
            "ReadWritePaths=" + " ".join(writable),
            "ProtectHome=read-only",
            f"PrivateTmp={'no' if self.sees_tmp else 'yes'}",
            *_ALWAYS,
        ]


def credential_file(service: str, name: str) -> PurePosixPath:
    """Give where root keeps a credential of a service."""
    return CREDENTIAL_STORE / f"{service}.{name}"


_HEAD = """\
# Written by `{name} service install`, which writes it anew. Changes of your own belong into a drop-in:
# `systemctl edit {name}`.
"""
_ALWAYS = (
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
)


def find_program(name: str, module: str) -> tuple[str, ...]:
    """Give how this very installation starts a program: by its console script, else by Python and its module."""
    script = Path(sys.executable).parent / name
    return (str(script),) if script.is_file() else (sys.executable, "-m", module)


def find_setting(text: str, name: str) -> str | None:
    """Give what `name=` is set to in a unit file that `Unit.encode` wrote; None if it is not there."""
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key == name:
            return value.replace("%%", "%")
    return None


def _plain_path(path: PurePosixPath) -> str:
    """Write a path where systemd takes the rest of the line as it is, but for specifiers."""
    return _escape(str(path))


def _escape(text: str) -> str:
    """Write text so that no specifier and no line end is in it."""
    return "".join(char if char.isprintable() else " " for char in text).replace("%", "%%")


def _quote(text: str) -> str:
    """Write text as one quoted word: C escapes for what is not printable, `%` doubled."""
    told: list[str] = []
    for char in text:
        if char in '"\\':
            told.append("\\" + char)
        elif char.isprintable():
            told.append(char)
        else:
            told += [f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape")]
    return '"' + "".join(told).replace("%", "%%") + '"'


def _word(text: str) -> str:
    """Write one word of a command line; `$` is systemd's too."""
    return _quote(text.replace("$", "$$"))


def _path(path: PurePosixPath, *, optional: bool = False) -> str:
    quoted = _quote(str(path))
    return f'"-{quoted[1:]}' if optional else quoted
