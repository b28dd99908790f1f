# SPDX-License-Identifier: Apache-2.0
"""The verifier that lies on every medium: `evidence` as one file that Python runs, its digest, and how to run it.

Made from the installed package, sources only; the compiled kernel stays away, as the verifier never loads it. The same
sources give the same bytes: names ascend, times are fixed.
"""

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

import evidence

ARCHIVE_NAME: Final = "jinsuo-verify.pyz"
_MAIN: Final = (
    "# SPDX-License-Identifier: Apache-2.0\n"
    '"""Run the verifier."""\n'
    "import sys\n\nfrom evidence.verify.command import main\n\nsys.exit(main())\n"
)
_MOMENT: Final = (2020, 1, 1, 0, 0, 0)
_HOW: Final = """\
金锁核验程序 The Jinsuo verifier
================================
需要 Python 3.11 或更新版本，以及：
It needs Python 3.11 or newer, and:

    pip install blake3 cryptography zstandard rfc3161-client

核验一条记录的证明（离线即可）：
To verify the proof of a record (offline):

    python {name} RECORD.jinsuo --policy trust.policy
    python {name} receipt RECEIPT.json --policy trust.policy

本载体的内容已加密，只有档案馆中心能读：
What this medium holds is sealed, and only the center at the archives can read it:

    jinsuo-center media read PATH

版本 version {version}
SHA-256 of {name}:
{digest}
"""


def write_verifier(folder: Path, version: str) -> None:
    """Write the verifier into `folder`. Raises: OSError."""
    archive = make_archive()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARCHIVE_NAME).write_bytes(archive)
    digest = hashlib.sha256(archive).hexdigest()
    text = _HOW.format(name=ARCHIVE_NAME, version=version, digest=digest).replace("\n", "\r\n")
    (folder / "README.TXT").write_bytes(b"\xef\xbb\xbf" + text.encode())


def make_archive() -> bytes:
    """Give the verifier as a zip archive with a first line that names Python."""
    root = Path(evidence.__file__).parent
    made = io.BytesIO()
    made.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _MOMENT), _MAIN)
        for path in sorted(root.rglob("*.py")):
            name = f"evidence/{path.relative_to(root).as_posix()}"
            info = zipfile.ZipInfo(name, _MOMENT)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    return made.getvalue()
