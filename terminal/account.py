# SPDX-License-Identifier: Apache-2.0
"""As whom a program works: a process of root's becomes the account whose the folder is. Linux and its like.

What root wrote into a folder that a service's account owns, that account could not read; and what lies in it, such as a
link, might lead root astray. Source: decision 0083.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from terminal.errors import OperatorError
from terminal.language import Text

_NEEDED = (Path(os.__file__), Path(__file__))
"""What this program loads from while it works: Python's own modules, and its own."""


def become_account(name: str) -> None:
    """Turn this process into the account, for good. Raises: KeyError, OSError."""
    import pwd

    found = pwd.getpwnam(name)
    os.initgroups(name, found.pw_gid)
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)


def find_closed(file: Path) -> Path | None:
    """Give what keeps other accounts from a file: a folder above it, or itself, if it is not there; None if nothing does."""
    for each in file.parents:
        if not each.exists() or not each.stat().st_mode & stat.S_IXOTH:
            return each
    return None if file.exists() else file


def become_owner(folder: Path, needed: Iterable[Path] = _NEEDED) -> str | None:
    """Turn a process of root's into the owner of `folder`, for good; give its name.

    None where nothing is to be done: this is not root, or the folder is root's, not there, or of an owner without a name.
    Raises: OperatorError if the owner cannot reach what is `needed` to go on; OSError.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    try:
        owner = folder.stat().st_uid
        name = pwd.getpwuid(owner).pw_name
    except (FileNotFoundError, NotADirectoryError, KeyError):
        return None
    if owner == 0:
        return None
    closed = next(filter(None, map(find_closed, needed)), None)
    if closed is not None:
        raise OperatorError(
            Text(
                zh=f"{folder} 属于账户 {name}，root 的命令以它运行，而 {closed} 不对它开放",
                en=f"{folder} is {name}'s, so root's commands run as that account, and {closed} is closed to it",
            ),
            hint=Text(
                zh="把程序和它的 Python 装在人人可读的目录，例如 /opt/jinsuo",
                en="install the program and its Python where everybody may read, such as /opt/jinsuo",
            ),
        )
    become_account(name)
    return name
