# SPDX-License-Identifier: Apache-2.0
"""A blob sink in memory, that keeps the promises of `agent.collectors.base.BlobSink`."""

import hashlib
from typing import BinaryIO

from evidence.rows.line import Token


class MemorySink:
    """Remember what was put, by SHA-256; or, with `keep=False`, only hash it, in bounded memory."""

    def __init__(self, *, keep: bool = True) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.puts = 0
        self._keep = keep

    def put(self, raw: BinaryIO) -> Token:
        state, size, parts = hashlib.sha256(), 0, []
        while part := raw.read(1 << 16):
            state.update(part)
            size += len(part)
            if self._keep:
                parts.append(part)
        self.puts += 1
        if self._keep:
            self.blobs[state.digest()] = b"".join(parts)
        return Token(state.digest(), size)

    def put_again(self, token: Token) -> bool:
        return self._keep and token.sha256 in self.blobs
