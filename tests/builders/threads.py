# SPDX-License-Identifier: Apache-2.0
"""Which threads run now, so that a test can say that none was left behind."""

import threading


def threads_now() -> frozenset[threading.Thread]:
    """Give the threads that Python began. Those of an earlier test may still be on their way out: compare by `<=`.

    A thread that a library began elsewhere is listed from its first call into Python on, and never leaves the list.
    """
    return frozenset(it for it in threading.enumerate() if not isinstance(it, threading._DummyThread))
