# SPDX-License-Identifier: Apache-2.0
"""The Linux archive: wheels for x86-64 and aarch64, pip itself, and `install.sh`, which needs Python and nothing else.

    jinsuo-VERSION-linux.tar.gz      jinsuo-VERSION-linux/{install.sh, README.txt, SHA256SUMS, docs/*.md, wheels/*.whl}

The kernel is compiled for both; where there is no compiler for the other, its wheel is pure, and rows are hashed by the
reference. Drivers that have no wheel (mysqlclient) are built here for this machine alone, if they can be.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bundle.kernel import fetch_zig, linux_compiler
from bundle.tree import copy_handbook, pack, write_sum_beside, write_sums
from bundle.wheels import BundleError, build_own, download, linux_target, own_compiler, run_pip

MACHINES = ("x86_64", "aarch64")
PYTHONS = ("3.11", "3.12", "3.13")
EXTRAS = ("agent", "postgresql", "odbc", "oracle", "ssh", "media", "center")


def build(source: Path, work: Path, out: Path, version: str, when_s: int, say: Callable[[str], None],
          pythons: Sequence[str] = PYTHONS) -> Path:  # fmt: skip
    """Build the archive of the tree `source` into `out`; give its path. Raises: BundleError."""
    folder = work / f"jinsuo-{version}-linux"
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    zig = fetch_zig(work)
    for machine in MACHINES:
        compiler = linux_compiler(zig, machine) if zig is not None else None
        own = build_own(source, work, own_compiler() if machine == os.uname().machine else compiler)
        say(f"{machine}: {own.name}")
        download(own, EXTRAS, linux_target(machine, pythons), wheels)
    run_pip("download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(wheels), "pip")
    say(_build_mysql(wheels))
    for name in ("install.sh", "README.txt"):
        text = (Path(__file__).parent / name).read_text(encoding="utf-8").replace("@VERSION@", version)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "install.sh").chmod(0o755)
    shutil.copy(source / "LICENSE", folder)
    copy_handbook(source, folder / "docs")
    write_sums(folder)
    archive = out / f"{folder.name}.tar.gz"
    pack(folder, archive, when_s)
    write_sum_beside(archive)
    return archive


def _build_mysql(wheels: Path) -> str:
    """Build the MySQL driver for this machine and Python; say what became of it."""
    here = f"{os.uname().machine}, Python {sys.version_info[0]}.{sys.version_info[1]}"
    try:
        run_pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), "mysqlclient")
    except BundleError:
        return f"without the MySQL driver, which cannot be built here ({here})"
    return f"with the MySQL driver for {here}; it needs libmariadb there"
