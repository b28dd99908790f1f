# SPDX-License-Identifier: Apache-2.0
"""Which file system a path lies on, as Linux tells it; elsewhere nothing is known. Reads `/proc/self/mountinfo` only.

Source: proc_pid_mountinfo(5): `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NETWORKED: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs",
     "fuse.glusterfs", "fuse.rclone", "fuse.davfs", "davfs"}
)  # fmt: skip
"""Kinds whose files lie on another machine."""

_INFO: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system where it is mounted."""

    place: Path
    kind: str

    @property
    def is_networked(self) -> bool:
        """Tell whether its files lie on another machine."""
        return self.kind in NETWORKED


def read_mounts() -> list[Mount]:
    """Give what is mounted, later ones over earlier ones; nothing where the system does not tell."""
    with suppress(OSError):
        return list(parse_mounts(_INFO.read_bytes()))
    return []


def parse_mounts(raw: bytes) -> Iterator[Mount]:
    r"""Read mountinfo; lines that are not understood are passed over.

    >>> mount = next(parse_mounts(b"36 35 0:5 / /mnt/a\\040b rw - nfs4 srv:/x rw"))
    >>> mount.place.name, mount.kind
    ('a b', 'nfs4')
    """
    for line in raw.splitlines():
        head, dash, tail = line.partition(b" - ")
        fields = head.split()
        if dash and len(fields) >= 6:
            place = _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), fields[4])
            yield Mount(Path(os.fsdecode(place)), tail.split()[0].decode("ascii", "replace"))


def find_mount(path: Path, mounts: list[Mount]) -> Mount | None:
    """Give the mount that `path` (resolved) lies on: the deepest, of equal ones the last."""
    found: Mount | None = None
    for mount in mounts:
        if path.is_relative_to(mount.place) and (found is None or len(mount.place.parts) >= len(found.place.parts)):
            found = mount
    return found


def find_mounts_below(folder: Path, mounts: list[Mount]) -> list[Mount]:
    """Give the mounts that stand below `folder` (resolved)."""
    return [mount for mount in mounts if mount.place != folder and mount.place.is_relative_to(folder)]
