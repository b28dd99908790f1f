# SPDX-License-Identifier: Apache-2.0
"""What all tests share. Fixtures stand beside what they make."""

import ctypes
import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.builders.drops", "tests.servers.fixtures"]


@pytest.fixture(autouse=True, scope="module")
def freed_memory() -> Iterator[None]:
    """Give back what a module has freed: glibc keeps it, for each of the many threads that there have been."""
    yield
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
