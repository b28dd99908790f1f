# SPDX-License-Identifier: Apache-2.0
"""Make an ISO image of a volume: UDF for Windows, Rock Ridge for Linux, both with the true names; ISO 9660 numbers below.

Memory: what the folders say; the files are copied through in parts. Joliet is left out: its names end at 64 characters,
and a pack's has 69. The image is durable under its name once `write_image` returns; a crash leaves a `.tmp` file.
pycdlib is imported with this module only. Source: ECMA-119, OSTA UDF, IEEE P1282.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from pycdlib import PyCdlib

from evidence.disk import sync_folder
from evidence.medium.number import MediumNumber

_BLOCK_BYTES: Final = 1 << 20


def write_image(root: Path, image: Path, number: MediumNumber, made: datetime) -> None:
    """Write the image of everything in `root`. Raises: OSError."""
    disc = PyCdlib()
    disc.new(
        interchange_level=3, vol_ident=number.label, udf="2.60", rock_ridge="1.09",
        app_ident_str="JINSUO", pub_ident_str=f"{made:%Y%m%d}",
    )  # fmt: skip
    temporary = image.with_name(f".{image.name}.tmp")
    try:
        _Numbered(disc).add_folder(root, "", "")
        with temporary.open("w+b") as file:
            _write(disc, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(image)
        sync_folder(image.parent)
    finally:
        disc.close()
        temporary.unlink(missing_ok=True)


def _write(disc: PyCdlib, file: BinaryIO) -> None:
    disc.write_fp(file, blocksize=_BLOCK_BYTES)


class _Numbered:
    """Add files and folders under numbers, which ISO 9660 takes from everybody, and under their true names."""

    def __init__(self, disc: PyCdlib) -> None:
        self._disc = disc
        self._count = 0

    def add_folder(self, folder: Path, iso_path: str, udf_path: str) -> None:
        """Add what is in `folder`, by name."""
        for child in sorted(folder.iterdir()):
            self._count += 1
            if child.is_dir():
                below = f"{iso_path}/D{self._count:07}"
                self._disc.add_directory(iso_path=below, rr_name=child.name, udf_path=f"{udf_path}/{child.name}")
                self.add_folder(child, below, f"{udf_path}/{child.name}")
            else:
                self._disc.add_file(
                    str(child), iso_path=f"{iso_path}/F{self._count:07}.;1", rr_name=child.name,
                    udf_path=f"{udf_path}/{child.name}",
                )  # fmt: skip
