# SPDX-License-Identifier: Apache-2.0
"""As whom a program works: a process of root's becomes the account whose the folder is. Linux and its like.

What root wrote into a folder that a service's account owns, that account could not read; and what lies in it, such as a
link, might lead root astray. Source: decision 0083.
"""

import os
from pathlib import Path


def become_account(name: str) -> None:
    """Turn this process into the account, for good. Raises: KeyError, OSError."""
    import pwd

    found = pwd.getpwnam(name)
    os.initgroups(name, found.pw_gid)
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)


def become_owner(folder: Path) -> str | None:
    """Turn a process of root's into the owner of `folder`, for good; give its name.

    None where nothing is to be done: this is not root, or the folder is root's, not there, or of an owner without a name.
    Raises: OSError.
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
    become_account(name)
    return name
