# SPDX-License-Identifier: Apache-2.0
"""The compiled kernel for machines other than this one, by the Clang in Zig, which comes as a package of the registry.

Python's limited API is the same text on all of them; of its headers only `pyconfig.h` knows the machine. Two 64-bit Linux
machines have the same one; for Windows `pyconfig_windows.h` says what the limited API asks. GCC for Windows would
not do: it does not align the stack for wide registers. Source: docs/decisions/0023.
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from bundle.wheels import OLDEST_GLIBC, BundleError, Compiler, run_pip

ZIG = "0.17.1"
_FLAGS = ("-O3", "-g0", "-fno-sanitize=undefined")
_PYCONFIG = Path(__file__).parent / "pyconfig_windows.h"


def fetch_zig(work: Path) -> Path | None:
    """Put Zig below `work`, 100 MB; give the program, or None where the registry has none for this machine."""
    to = work / "zig"
    try:
        run_pip("install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(to), f"ziglang=={ZIG}")
    except BundleError:
        return None
    return to / "ziglang" / "zig"


def _caches(zig: Path) -> dict[str, str]:
    """Give the environment in which Zig keeps what it compiles beside itself: nothing is left, nothing old is taken."""
    return {name: str(zig.parent / "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}


def linux_compiler(zig: Path, machine: str) -> Compiler:
    """Give the compiler for `machine` (as `uname -m` says it) and every glibc that a wheel may meet."""
    command = f"{zig} cc -target {machine}-linux-gnu.2.{OLDEST_GLIBC} {' '.join(_FLAGS)}"
    return Compiler(machine, {"CC": command, "LDSHARED": f"{command} -shared -s", **_caches(zig)})


def build_for_windows(zig: Path, source: Path, python: Path, work: Path, out: Path) -> None:
    """Compile the kernel of the tree `source` into the folder `out`, against python3.dll in `python`. Raises: BundleError."""
    headers = work / "headers"
    shutil.copytree(sysconfig.get_paths()["include"], headers)
    # A header looks beside itself first.
    shutil.copy(_PYCONFIG, headers / "pyconfig.h")
    argv = [
        zig, "cc", "-target", "x86_64-windows-gnu", *_FLAGS, "-shared", "-s", f"-I{headers}",
        source / "evidence" / "kernel" / "kernel.c", python / "python3.dll", "-o", work / "_kernel.pyd",
    ]  # fmt: skip
    environ = {**os.environ, **_caches(zig)}
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, env=environ)
    if done.returncode != 0:
        raise BundleError(f"the kernel for Windows cannot be compiled: {done.stderr.strip()[-2000:]}")
    # Not what else the linker leaves: an import library.
    shutil.copy(work / "_kernel.pyd", out)
