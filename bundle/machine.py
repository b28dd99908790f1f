# SPDX-License-Identifier: Apache-2.0
"""`script/test-systemd`: a small Debian machine, made and booted, in which `bundle.units` tells the life of both services.

    Debian's packages → a folder → the archive and `bundle/units.py` in it → boots, tells, reboots, tells, powers itself off

By qemu from a disk, with a kernel of its own; or by systemd-nspawn from the folder, on this kernel, where the processor
would have to be emulated and time is short. Either has a systemd of its own as first process, no network but its loopback,
and nothing of this machine's. What it tells is printed as it comes; its console goes to a file, whose end is shown if
something did not hold. Knows how a machine is made, not what is tried on it. Needs root: the files have many owners. Mounts
happen in a name space that ends with the program that makes them.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Timer

from bundle.checking import TrialError, took
from bundle.wheels import ROOT

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ("systemd-sysv", "python3")
KERNEL = ("linux-image-cloud-amd64",)
HELD = "all of it held"
"""The last line of a trial that came to its end."""
_LINE = "opt/trial/told"
"""The file in which a container tells; a machine by qemu has a serial line for it."""
_TOLD = "test-systemd: "
_DISK = "4G"
_MEMORY = "2G"
_LIMIT_S = 7200
_TAIL = 60

_UNIT = """\
[Unit]
Description=What is tried on this machine
After=multi-user.target
FailureAction=poweroff-force

[Service]
Type=exec
ExecStart=/usr/bin/python3 -u -m bundle.units
WorkingDirectory=/opt/trial
Environment=PYTHONUTF8=1 LANG=C.UTF-8
StandardOutput=append:{line}
StandardError=append:{line}

[Install]
WantedBy=multi-user.target
"""


def main() -> int:
    """Make the machine and let it tell; give the exit code."""
    parser = argparse.ArgumentParser(prog="script/test-systemd", description=__doc__)
    parser.add_argument("archive", type=Path, help="the Linux archive; its sum lies beside it")
    parser.add_argument("--mirror", default=MIRROR, help=f"where Debian's packages come from; {MIRROR}")
    parser.add_argument(
        "--container", action="store_true", help="on this kernel, by systemd-nspawn: minutes without KVM"
    )
    args = parser.parse_args()
    # Ended from outside it leaves neither a machine nor a folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="jinsuo-systemd-") as name:
        work = Path(name)
        begin, line = (contain, f"/{_LINE}") if args.container else (emulate, "/dev/ttyS1")
        try:
            seconds = took(lambda: make(work / "root", PACKAGES if args.container else PACKAGES + KERNEL, args.mirror))
            furnish(work / "root", args.archive, line)
            say(f"made a Debian {SUITE} in {seconds:.0f} s")
            with running(begin(work)) as lines:
                told = [line for line in lines if tell(line, work / "console.log")]
        except TrialError as err:
            say(f"FAILED: {err}")
            return 1
        if not told or not told[-1].endswith(HELD):
            console = (work / "console.log").read_text(encoding="utf-8", errors="replace")
            print("\n".join(console.splitlines()[-_TAIL:]), file=sys.stderr)
            say("FAILED: the machine did not come to the end of it")
            return 1
    return 0


def make(root: Path, packages: Sequence[str], mirror: str) -> None:
    """Make a Debian of packages in the folder `root`. Raises: TrialError."""
    archive = root.with_suffix(".tar")
    # In a name space of its own, so that no mount of it is ever seen here.
    run("unshare", "--mount", "--propagation", "private", "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root",
        f"--include={','.join(packages)}", SUITE, str(archive), mirror)  # fmt: skip
    root.mkdir()
    run("tar", "-xf", str(archive), "-C", str(root), "--exclude=./dev/*", "--numeric-owner")
    archive.unlink()


def furnish(root: Path, archive: Path, line: str) -> None:
    """Put what is tried on the machine, and let it begin when the machine has started, and tell over `line`."""
    trial = root / "opt/trial"
    (trial / "bundle").mkdir(parents=True)
    for name in ("__init__.py", "checking.py", "units.py"):
        shutil.copy(ROOT / "bundle" / name, trial / "bundle" / name)
    for path in (archive, archive.with_name(f"{archive.name}.sha256")):
        shutil.copy(path, trial / path.name)
    units = root / "etc/systemd/system"
    (units / "trial.service").write_text(_UNIT.format(line=line), encoding="utf-8")
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/trial.service").symlink_to("../trial.service")
    (root / "etc/hostname").write_text("hospital\n")
    # Every boot of an image would be the first one, and units would be enabled anew.
    (root / "etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")
    # A journal that outlasts the restart.
    (root / "var/log/journal").mkdir(exist_ok=True)


def emulate(work: Path) -> list[str]:
    """Make a disk of the folder; give how it is booted."""
    run("mke2fs", "-q", "-t", "ext4", "-d", str(work / "root"), str(work / "disk"), _DISK)
    return [
        "qemu-system-x86_64", "-machine", "q35", "-accel", find_accelerator(), "-cpu", "max", "-smp", "2", "-m", _MEMORY,
        "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none",
        "-drive", f"file={work / 'disk'},format=raw,if=virtio,cache=unsafe",
        "-kernel", str(work / "root/vmlinuz"), "-initrd", str(work / "root/initrd.img"),
        "-append", "root=/dev/vda rw console=ttyS0 panic=-1 systemd.show_status=no",
        "-serial", f"file:{work / 'console.log'}", "-serial", "stdio",
    ]  # fmt: skip


def contain(work: Path) -> list[str]:
    """Give how the folder is booted on this kernel."""
    nspawn = shlex.join([
        "systemd-nspawn", "--quiet", "--directory", str(work / "root"), "--register=no", "--keep-unit", "--private-network",
        "--console=pipe", "--boot", "systemd.show_status=no",
    ])  # fmt: skip
    told, console = (shlex.quote(str(path)) for path in (work / "root" / _LINE, work / "console.log"))
    # It ends with 133 where the machine wants to be restarted. Source: systemd-nspawn(1), --keep-unit.
    script = f"""
        : > {told}
        tail --quiet --follow {told} &
        while true; do {nspawn} >> {console} 2>&1; [ $? = 133 ] || break; done
        sleep 2
        kill $!
    """
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


@contextmanager
def running(argv: list[str]) -> Iterator[Iterator[str]]:
    """Run the machine; give what it tells, line by line, until it has powered itself off, or was ended after the limit."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    limit = Timer(_LIMIT_S, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    assert process.stdout is not None
    try:
        yield (line.strip() for line in process.stdout)
    finally:
        limit.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def find_accelerator() -> str:
    """Tell how the machine is to run: by the processor's own virtualization, else emulated, some ten times more slowly.

    /dev/kvm alone says little: in a guest whose processor does not show the feature, a stock kernel hangs on it.
    """
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    has_kvm = {"vmx", "svm"} & set(flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return "kvm" if has_kvm else "tcg,thread=multi"


def tell(line: str, console: Path) -> bool:
    """Print a line if it is one of the trial's own, and tell whether it is; others go to the console's file."""
    if line.startswith(_TOLD):
        print(line, flush=True)
        return True
    with console.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    return False


def run(*argv: str) -> None:
    """Run a program. Raises: TrialError with what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise TrialError(f"{argv[0]} exited with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")


def say(text: str) -> None:
    """Tell how it goes."""
    print(f"{_TOLD}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
