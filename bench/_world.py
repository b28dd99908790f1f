# SPDX-License-Identifier: Apache-2.0
"""A center and agents as real processes in a temporary folder, and whole-process measurements."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.ports import free_port

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Run:
    """A finished command: wall and CPU seconds, peak memory in MiB (the largest single process), what it printed."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    stdout: bytes


def measure(command: Sequence[str], *, stdout: Any = subprocess.PIPE, environ: dict[str, str] | None = None) -> Run:
    """Run a command to its end. Raises: RuntimeError if it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **(environ or {})}
    ) as process:
        printed, complaints = process.communicate()
        # communicate() has reaped the child; its usage stands in the children's totals, which only grow.
        wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {process.returncode}: {complaints.decode()[-2000:]}")
    return Run(wall, 0.0, 0.0, printed or b"")


def measure_alone(command: Sequence[str]) -> Run:
    """Run one process to its end with its own accounting (wait4). Raises: RuntimeError if it fails."""
    began = time.perf_counter()
    reader, writer = os.pipe()
    process = subprocess.Popen(command, stdout=writer, stderr=subprocess.STDOUT)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        printed = pipe.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {process.returncode}: {printed.decode()[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed)


class CenterProcess:
    """`jinsuo-center serve` on a free port. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        _call(
            "jinsuo-center", "init", str(folder), "--origin", "bench.example/log", "--listen", f"127.0.0.1:{self.port}"
        )
        self._log = (folder.parent / "center.log").open("wb")

    def __enter__(self) -> "CenterProcess":
        self._process = subprocess.Popen(
            [str(BIN / "jinsuo-center"), "-C", str(self.folder), "serve"], stdout=self._log, stderr=self._log
        )
        _wait_for_port(self.port, self._process)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._log.close()

    def peak_mib(self) -> float:
        """Give the process's peak memory so far."""
        return _status_kib(self._process.pid, "VmHWM") / 1024

    def cpu_s(self) -> float:
        """Give the CPU seconds that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def enroll(self, unit: str, folder: Path, sources: str) -> None:
        """Make an agent's folder with `sources` (YAML) and enrol it."""
        code = folder.parent / f"{unit}.code"
        _call("jinsuo-center", "-C", str(self.folder), "unit", "add", unit, "--name", unit, "--out", str(code))
        _call("jinsuo-agent", "init", str(folder))
        path = folder / "agent.yaml"
        lines = [line for line in path.read_text().splitlines() if not line.startswith("sources:")]
        path.write_text("\n".join(lines) + "\nsources:\n" + sources)
        _call(
            "jinsuo-agent",
            "-C",
            str(folder),
            "enroll",
            "--center",
            f"https://127.0.0.1:{self.port}",
            "--code",
            str(code),
        )


def snapshot(folder: Path, source: str) -> tuple[Run, dict[str, Any]]:
    """Take one snapshot until its receipt is verified; give the measurement and the outcome."""
    run = measure_alone([str(BIN / "jinsuo-agent"), "-C", str(folder), "snapshot", source, "--json"])
    outcome: dict[str, Any] = json.loads(run.stdout)["snapshots"][0]
    if outcome["level"] != "stored":
        raise RuntimeError(f"the snapshot is not stored: {run.stdout.decode()}")
    return run, outcome


def table(title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(headers) + " |")
    print("|" + "---|" * len(headers))
    for row in rows:
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")


def machine() -> str:
    """Tell what machine this is, in one line."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "?",
    )
    memory = _status_kib_file(Path("/proc/meminfo"), "MemTotal") >> 20
    return f"{os.cpu_count()} cores ({cpu}), {memory} GiB, Python {sys.version.split()[0]}, Linux {os.uname().release}"


def _call(*command: str) -> None:
    done = subprocess.run([str(BIN / command[0]), *command[1:]], capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()}")


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    import socket

    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the center did not start; see center.log")


def _status_kib(pid: int, name: str) -> int:
    return _status_kib_file(Path(f"/proc/{pid}/status"), name)


def _status_kib_file(path: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(name + ":"))
