# SPDX-License-Identifier: Apache-2.0
"""Our own wheel, and those of everything that it needs, for machines other than this one. Runs pip; needs a registry.

Which packages in which versions is setup.cfg's to say: pip reads it out of our own wheel. Invariant: our wheel's tag
says no more than its kernel keeps: the newest glibc symbol in it gives the tag; without a kernel it is for any machine.
"""

import os
import re
import shutil
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
_ELF_MACHINES = {b"\x3e\x00": "x86_64", b"\xb7\x00": "aarch64"}
"""`e_machine`, u16 LE at byte 18 of a file. Source: ELF-64 object file format, and its supplements."""
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


@dataclass(frozen=True, slots=True)
class Compiler:
    """What compiles for machines of one kind: `machine` as `uname -m` says it; what setuptools is told, nothing for this one."""

    machine: str
    environ: Mapping[str, str]


def own_compiler() -> Compiler:
    """Give this machine's compiler, as setuptools finds it."""
    return Compiler(os.uname().machine, {})


def build_own(source: Path, out: Path, compiler: Compiler | None) -> Path:
    """Build our wheel from the tree `source` into `out`; with the compiled kernel if it can be. Raises: BundleError."""
    if compiler is None:
        return _build(source, out, {"JINSUO_KERNEL": "no"})
    environ = {**_WITHOUT_PATHS, **compiler.environ}
    wheel = _build(source, out, environ)
    minor, machine = find_glibc(wheel), find_machine(wheel)
    wheel.unlink()
    if minor is None:
        return build_own(source, out, None)
    if machine != compiler.machine:
        raise BundleError(f"the kernel for {compiler.machine} was compiled for {machine}")
    plat = f"manylinux_2_{max(minor, OLDEST_GLIBC)}_{compiler.machine}"
    return _build(source, out, environ, f"--config-settings=--build-option=--plat-name={plat}")


def find_glibc(wheel: Path) -> int | None:
    """Give N of the newest glibc 2.N that the kernel in `wheel` asks for; None if there is no kernel in it."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".so")]
        minors = [0]
        for name in names:
            # The version names stand in the dynamic string table as they are.
            minors += [int(found) for found in re.findall(rb"GLIBC_2\.([0-9]+)", archive.read(name))]
    return max(minors) if names else None


def find_machine(wheel: Path) -> str | None:
    """Give for which machine the kernel in `wheel` is, as `uname -m` says it; None if there is none, or it is another's."""
    with zipfile.ZipFile(wheel) as archive:
        heads = {archive.read(name)[:20] for name in archive.namelist() if name.endswith(".so")}
    (head,) = heads or {b""}
    return _ELF_MACHINES.get(head[18:20]) if head[:4] == b"\x7fELF" else None


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
    # What was compiled for another machine is there, newer than its source, and would be taken as it is.
    shutil.rmtree(source / "build", ignore_errors=True)
    before = set(out.glob("jinsuo-*.whl"))
    run_pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), *options, str(source), environ=environ)
    (wheel,) = set(out.glob("jinsuo-*.whl")) - before
    return wheel
