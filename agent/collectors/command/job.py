# SPDX-License-Identifier: Apache-2.0
"""A job object of Windows: a command with everything it starts, ended together, also when the agent is killed.

The job's only handle is the agent's. When it is closed, because the agent says so or because the system closes what a
dead process had, the system ends every process in the job (KILL_ON_JOB_CLOSE). The command is put in before its first
instruction, so nothing it starts is outside. Source: Microsoft, "Job Objects"; nested jobs need Windows 8.
"""

import ctypes
import subprocess
from typing import Any, Final

CREATE_SUSPENDED: Final = 0x4
_EXTENDED_LIMITS: Final = 9
_KILL_ON_JOB_CLOSE: Final = 0x2000


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_time", ctypes.c_int64),
        ("per_job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", _BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class Job:  # pragma: no cover - Windows
    """One job. Raises: OSError if the system refuses it."""

    def __init__(self) -> None:
        self._kernel = _load("kernel32")
        self._kernel.CreateJobObjectW.restype = ctypes.c_void_p
        self._handle: int | None = self._check(self._kernel.CreateJobObjectW(None, None))
        limits = _ExtendedLimits()
        limits.basic.flags = _KILL_ON_JOB_CLOSE
        self._check(
            self._kernel.SetInformationJobObject(
                ctypes.c_void_p(self._handle), _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
            )
        )

    def adopt(self, process: "subprocess.Popen[bytes]") -> None:
        """Take in a process that was created suspended, and let it run. Raises: OSError."""
        handle = ctypes.c_void_p(int(process._handle))  # type: ignore[attr-defined]  # only there on Windows
        self._check(self._kernel.AssignProcessToJobObject(ctypes.c_void_p(self._handle), handle))
        # Popen does not keep the handle of the first thread, so the process is resumed as a whole.
        _load("ntdll").NtResumeProcess(handle)

    def end(self) -> None:
        """End all that is in it. May be called again."""
        if self._handle is not None:
            self._kernel.TerminateJobObject(ctypes.c_void_p(self._handle), 1)
            self._kernel.CloseHandle(ctypes.c_void_p(self._handle))
            self._handle = None

    def _check(self, result: Any) -> Any:  # what a function of the system gives
        if not result:
            raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined]  # only there on Windows
        return result


def _load(name: str) -> Any:  # pragma: no cover - Windows; a library's functions have no types
    return ctypes.WinDLL(name, use_last_error=True)  # type: ignore[attr-defined]  # only there on Windows
