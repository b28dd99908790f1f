# SPDX-License-Identifier: Apache-2.0
"""Single precision, which Python has no type for."""

import struct


def single(x: float) -> float:
    """Round to single precision."""
    rounded: float = struct.unpack("<f", struct.pack("<f", x))[0]
    return rounded
