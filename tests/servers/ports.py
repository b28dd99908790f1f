# SPDX-License-Identifier: Apache-2.0
"""Loopback ports for what listens a while after its port was chosen: nobody else is given them meanwhile.

A port that the system gives (bind to 0) and that is closed again may be given to the next process that asks, or become
the own port of any connection, before its server listens. So these lie below the ports that the system gives, in a
block for each worker of a run. Whoever can listen at once binds to 0 instead.
"""

import itertools
import os
import random
import socket

_FIRST, _BLOCK, _BLOCKS = 10_000, 1_400, 16
"""Up to 32,400: Linux gives ports from 32,768 on, other systems from 49,152 on."""


def _ports() -> "itertools.cycle[int]":
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _BLOCKS
    first = _FIRST + worker * _BLOCK
    block = list(range(first, first + _BLOCK))
    # Two runs at a time begin at different places.
    begin = random.SystemRandom().randrange(_BLOCK)
    return itertools.cycle(block[begin:] + block[:begin])


_given = _ports()


def free_port() -> int:
    """Give a loopback port that nobody listens on, and that is not given again for a long while."""
    for port in itertools.islice(_given, _BLOCK):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what listens sets it, too
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port is free from {_FIRST} on")
