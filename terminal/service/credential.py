# SPDX-License-Identifier: Apache-2.0
"""What systemd hands a service in secret: one file each in a folder of memory that only the service's account can read.

No check of the file's mode: systemd gives the account its right by an ACL, which shows as the group's. Source:
systemd.exec(5) `LoadCredential`, systemd-creds(1).
"""

from collections.abc import Mapping
from pathlib import Path

FOLDER_VARIABLE = "CREDENTIALS_DIRECTORY"
_MOST_BYTES = 1 << 20


def find_credential(environ: Mapping[str, str], name: str) -> str | None:
    """Give the text of a credential without its last line end; None if this process was given none of that name.

    Raises: OSError, UnicodeDecodeError.
    """
    folder = environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    try:
        with (Path(folder) / name).open("rb") as file:
            return file.read(_MOST_BYTES).decode().rstrip("\r\n")
    except FileNotFoundError:
        return None
