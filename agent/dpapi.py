# SPDX-License-Identifier: Apache-2.0
"""Windows' own encryption of small secrets, for this machine: whoever runs on it may open them, nobody elsewhere.

Machine scope and not the account's, so that a change of the service's account loses nothing; who may read the file at
all is the folder's access control list. A copy of the file on another machine, or in a backup, is of no use. Only
Windows has it; elsewhere `machine_seal` gives None. Source: CryptProtectData, `CRYPTPROTECT_LOCAL_MACHINE`.
"""

import ctypes
import sys
from typing import Any, Protocol

_LOCAL_MACHINE = 0x4
_UI_FORBIDDEN = 0x1


class Seal(Protocol):
    """What encrypts and decrypts. Raises: OSError."""

    def close(self, plain: bytes) -> bytes:
        """Encrypt."""

    def open(self, sealed: bytes) -> bytes:
        """Decrypt what `close` gave on this machine."""


class _Blob(ctypes.Structure):
    """DATA_BLOB."""

    _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.c_void_p))


class Dpapi:
    """The seal of this machine."""

    def __init__(self) -> None:
        # The stubs of ctypes know these on Windows alone.
        self._crypt: Any = getattr(ctypes, "WinDLL")("crypt32", use_last_error=True)  # noqa: B009
        self._kernel: Any = getattr(ctypes, "WinDLL")("kernel32")  # noqa: B009
        self._kernel.LocalFree.argtypes = [ctypes.c_void_p]

    def close(self, plain: bytes) -> bytes:
        """Encrypt."""
        return self._call(self._crypt.CryptProtectData, plain)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt."""
        return self._call(self._crypt.CryptUnprotectData, sealed)

    def _call(self, function: Any, given: bytes) -> bytes:
        held = ctypes.create_string_buffer(given, len(given))
        source, result = _Blob(len(given), ctypes.cast(held, ctypes.c_void_p)), _Blob()
        flags = _LOCAL_MACHINE | _UI_FORBIDDEN
        if not function(ctypes.byref(source), None, None, None, None, flags, ctypes.byref(result)):
            number: int = getattr(ctypes, "get_last_error")()  # noqa: B009
            raise OSError(number, f"Windows error {number}")
        try:
            return ctypes.string_at(result.data, result.size)
        finally:
            self._kernel.LocalFree(result.data)


def machine_seal() -> Seal | None:
    """Give this machine's seal; None where the system has none."""
    return Dpapi() if sys.platform == "win32" else None
