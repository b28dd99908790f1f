# SPDX-License-Identifier: Apache-2.0
"""Where things lie on a medium: the root that the national rules ask for, and our files below it. Pure.

    说明文件.TXT                    what the medium is, a line each, for people
    文件目录.XML                    the bags on it
    电子档案/YEAR/KIND/BAG/…        BagIt bags, one a volume
    其他/medium.txt                 every file with its digest (`listing.py`), again as medium-2.txt
    其他/MD5.TXT, 其他/SM3.TXT      digests for the forms
    其他/recovery/recovery*.par2    what damaged bags are repaired from
    其他/verifier/…                 the verifier, and how to run it
    其他/slip.html, slip.txt        the copying slip and case insert

Paths are relative, `/`-separated, without `.` and `..`: so what is read from a stranger's medium cannot lead elsewhere.
Source: 电子档案移交与接收办法 (档发〔2012〕7号), layout of a medium.
"""

import re
from typing import Final

from evidence.errors import FormatError

README: Final = "说明文件.TXT"
CATALOG: Final = "文件目录.XML"
RECORDS: Final = "电子档案"
OTHERS: Final = "其他"
LISTING: Final = f"{OTHERS}/medium.txt"
LISTING_AGAIN: Final = f"{OTHERS}/medium-2.txt"
MD5_LIST: Final = f"{OTHERS}/MD5.TXT"
SM3_LIST: Final = f"{OTHERS}/SM3.TXT"
RECOVERY: Final = f"{OTHERS}/recovery"
RECOVERY_NAME: Final = "recovery.par2"
VERIFIER: Final = f"{OTHERS}/verifier"
SLIP_HTML: Final = f"{OTHERS}/slip.html"
SLIP_TEXT: Final = f"{OTHERS}/slip.txt"
MAX_PATH_BYTES: Final = 1024
_HARMFUL = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


def check_path(path: str) -> None:
    """Raises: FormatError unless `path` is a plain relative path that every file system takes for the same."""
    parts = path.split("/")
    if len(path.encode()) > MAX_PATH_BYTES or any(part in ("", ".", "..") for part in parts):
        raise FormatError(f"{path!r:.100} is no path on a medium")
    if _HARMFUL.search(path) or any(part.endswith((" ", ".")) for part in parts):
        raise FormatError(f"{path!r:.100} has characters that have no place in a path on a medium")


def bag_folder(year: int, kind: str, bag: str) -> str:
    """Give where a bag lies."""
    return f"{RECORDS}/{year:04}/{kind}/{bag}"
