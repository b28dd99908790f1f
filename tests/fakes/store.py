# SPDX-License-Identifier: Apache-2.0
"""A store in memory that keeps the promises of `center.store.base.Store`, and fails on command."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType

from center.errors import LostError
from center.store.base import NewBlob, check_blob_name


class MemoryStore:
    """Blobs in a dict. `before` is called with the verb and the name before anything is done; it may raise."""

    def __init__(self, before: Callable[[str, str], None] = lambda _verb, _name: None) -> None:
        self.blobs: dict[str, bytes] = {}
        self.before = before
        self.mutex = threading.Lock()

    def create(self, name: str) -> "MemoryBlob":
        check_blob_name(name)
        return MemoryBlob(self, name)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        check_blob_name(name)
        self.before("read", name)
        blob = self.blobs.get(name)
        end = offset if size is None else offset + size
        if blob is None or end > len(blob):
            raise LostError(f"{name} is absent or shorter than {end} bytes", hint="run audit")
        return blob[offset:] if size is None else blob[offset:end]

    def size(self, name: str) -> int | None:
        check_blob_name(name)
        self.before("size", name)
        blob = self.blobs.get(name)
        return None if blob is None else len(blob)

    def names(self, prefix: str) -> Iterator[str]:
        self.before("names", prefix)
        yield from sorted((name for name in list(self.blobs) if name.startswith(prefix)), key=lambda n: n.split("/"))


class MemoryBlob:
    def __init__(self, store: MemoryStore, name: str) -> None:
        self._store = store
        self._name = name
        self._parts: list[bytes] = []

    def __enter__(self) -> NewBlob:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.clear()

    def write(self, data: bytes | memoryview) -> None:
        self._store.before("write", self._name)
        self._parts.append(bytes(data))

    def commit(self) -> bool:
        self._store.before("commit", self._name)
        with self._store.mutex:
            if self._name in self._store.blobs:
                return False
            self._store.blobs[self._name] = b"".join(self._parts)
            return True
