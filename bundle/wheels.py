# SPDX-License-Identifier: Apache-2.0
"""Our own wheel, and those of everything that it needs, for machines other than this one. Runs pip; needs a registry.

Which packages in which versions is setup.cfg's to say: pip reads it out of our own wheel. Invariant: our wheel's tag
says no more than its kernel keeps: the newest glibc symbol in it gives the tag; without a kernel it is for any machine.
"""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST_GLIBC = 17
"""manylinux_2_17 is as old as manylinux gets for what is built today."""
_WITHOUT_PATHS = {"CFLAGS": "-g0"}
"""Debugging symbols name the folder in which it was built, which is another each time."""
TARGET_GLIBC = 28
"""cryptography's wheels need it: RHEL 8, Debian 10, and everything since."""


class BundleError(Exception):
    """A step failed; the message says which, and what its program said."""


@dataclass(frozen=True, slots=True)
class Target:
    """Machines to build for: pip's platforms, best first, and versions of Python."""

    name: str
    platforms: tuple[str, ...]
    pythons: tuple[str, ...]


def linux_target(machine: str, pythons: Sequence[str]) -> Target:
    """Give a target of glibc 2.28 and newer."""
    minors = range(TARGET_GLIBC, OLDEST_GLIBC - 1, -1)
    named = [f"manylinux_2_{minor}_{machine}" for minor in minors]
    return Target(f"linux-{machine}", (*named, f"manylinux2014_{machine}", f"linux_{machine}"), tuple(pythons))


def build_own(source: Path, out: Path, *, kernel: bool) -> Path:
    """Build our wheel from the tree `source` into `out`; with the compiled kernel if it can be. Raises: BundleError."""
    if not kernel:
        return _build(source, out, {"JINSUO_KERNEL": "no"})
    wheel = _build(source, out, _WITHOUT_PATHS)
    minor = find_glibc(wheel)
    if minor is None:
        wheel.unlink()
        return _build(source, out, {"JINSUO_KERNEL": "no"})
    wheel.unlink()
    machine = os.uname().machine
    plat = f"manylinux_2_{max(minor, OLDEST_GLIBC)}_{machine}"
    return _build(source, out, _WITHOUT_PATHS, f"--config-settings=--build-option=--plat-name={plat}")


def find_glibc(wheel: Path) -> int | None:
    """Give N of the newest glibc 2.N that the kernel in `wheel` asks for; None if there is no kernel in it."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
        minors = [0]
        for name in names:
            # The version names stand in the dynamic string table as they are.
            minors += [int(found) for found in re.findall(rb"GLIBC_2\.([0-9]+)", archive.read(name))]
    return max(minors) if names else None


def download(own: Path, extras: Sequence[str], target: Target, out: Path) -> None:
    """Put into `out` our wheel and every wheel that it needs with `extras`, for each Python. Raises: BundleError."""
    platforms = [word for platform in target.platforms for word in ("--platform", platform)]
    for python in target.pythons:
        run_pip(
            "download", "--quiet", "--only-binary=:all:", "--implementation", "cp", "--python-version", python,
            *platforms, "--dest", str(out), f"jinsuo[{','.join(extras)}] @ {own.as_uri()}",
        )  # fmt: skip


def run_pip(*words: str, environ: Mapping[str, str] | None = None) -> None:
    """Run this Python's pip. Raises: BundleError with its last words."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **(environ or {})})
    if done.returncode != 0:
        raise BundleError(f"pip {words[0]}: {done.stderr.strip()[-2000:]}")


def _build(source: Path, out: Path, environ: Mapping[str, str], *options: str) -> Path:
    before = set(out.glob("jinsuo-*.whl"))
    run_pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), *options, str(source), environ=environ)
    (wheel,) = set(out.glob("jinsuo-*.whl")) - before
    return wheel
