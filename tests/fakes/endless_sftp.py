# SPDX-License-Identifier: Apache-2.0
"""An SFTP server whose folders never end: run by sshd in place of its own. Argument: pause in seconds between answers.

It speaks version 3 as far as a listing needs it. Source: draft-ietf-secsh-filexfer-02.
"""

import struct
import sys
import time

_INIT, _VERSION, _OPENDIR, _READDIR, _HANDLE, _NAME, _STATUS = 1, 2, 11, 12, 102, 104, 101
_MANY = 200


def main() -> None:
    """Answer until the other side hangs up."""
    pause_s, count = float(sys.argv[1]), 0
    while head := sys.stdin.buffer.read(5):
        size, kind = struct.unpack(">IB", head)
        body = sys.stdin.buffer.read(size - 1)
        if kind == _INIT:
            _say(_VERSION, struct.pack(">I", 3))
            continue
        number = body[:4]
        if kind == _OPENDIR:
            _say(_HANDLE, number + _text(b"h"))
        elif kind == _READDIR:
            time.sleep(pause_s)
            many = 1 if pause_s else _MANY
            names = [f"receipts-X013-his-{count + i:032x}.note".encode() for i in range(many)]
            count += many
            entries = b"".join(_text(name) + _text(name) + struct.pack(">I", 0) for name in names)
            _say(_NAME, number + struct.pack(">I", many) + entries)
        else:
            _say(_STATUS, number + struct.pack(">I", 0) + _text(b"") + _text(b""))


def _text(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


def _say(kind: int, body: bytes) -> None:
    sys.stdout.buffer.write(struct.pack(">IB", len(body) + 1, kind) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
