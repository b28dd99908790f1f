# SPDX-License-Identifier: Apache-2.0
"""The process that loads the ODBC driver, so that a driver's crash is not the agent's. Run by its path; imports no room.

    parent → child   u32be length ‖ kind ‖ JSON      C connect · T transactions from here on · E execute · Q query ·
                                                     N next rows · S stop the query · G a catalog function ·
                                                     D the drivers · A abort what runs (no
                                                     answer) · B goodbye
    child → parent   u32be length ‖ kind ‖ JSON      K done · R rows · X the driver's error; each with the request's number

A thread takes requests as they come, so that an abort is heard while the driver works; when the parent is gone, so is the
child, whatever the driver does. Cells are text or NULL; numbers, dates and bytes never come as the driver's own types,
but for what a catalog function gives. The standard output is the parent's alone: what a driver prints goes to stderr.
"""

import contextlib
import json
import os
import queue
import struct
import sys
import threading
from typing import IO, Any, Final

MAX_FRAME_BYTES: Final = 160 << 20
HEAD: Final = struct.Struct(">Ic")
BATCH_CHARACTERS: Final = 512 << 10
BATCH_ROWS: Final = 2000
_WIDE: Final = "utf-16-le" if sys.byteorder == "little" else "utf-16-be"


def write_frame(file: IO[bytes], kind: bytes, value: object) -> None:
    """Write one frame. Raises: OSError."""
    # A text may have an unpaired surrogate; JSON carries it, UTF-8 proper would not.
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    file.write(HEAD.pack(len(body), kind) + body)
    file.flush()


def read_frame(file: IO[bytes]) -> tuple[bytes, Any] | None:
    """Read one frame, or None at the end. Raises: ValueError if it is none of ours; OSError."""
    head = file.read(HEAD.size)
    if not head:
        return None
    if len(head) < HEAD.size:
        raise ValueError("it ended within a frame's head")
    length, kind = HEAD.unpack(head)
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes, over the limit of {MAX_FRAME_BYTES}")
    body = file.read(length)
    if len(body) < length:
        raise ValueError("it ended within a frame")
    return kind, json.loads(body)


def main() -> None:
    """Serve one parent until it says goodbye or is gone."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    served = _Served(answers)
    requests: queue.SimpleQueue[tuple[bytes, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests, served), daemon=True).start()
    while True:
        kind, value = requests.get()
        served.answer(kind, value)
        if kind == b"B":
            os._exit(0)


def _listen(file: IO[bytes], requests: "queue.SimpleQueue[tuple[bytes, Any]]", served: "_Served") -> None:
    while (frame := read_frame(file)) is not None:
        if frame[0] == b"A":
            served.abort()
        else:
            requests.put(frame)
    os._exit(0)


class _Served:
    """The connection and its one open query."""

    def __init__(self, answers: IO[bytes]) -> None:
        self._answers = answers
        self._connection: Any = None
        self._cursor: Any = None
        self._acts = {
            b"C": self._connect, b"T": self._begin, b"E": self._execute, b"Q": self._query, b"N": self._next, b"S": self._stop,
            b"G": self._ask_catalog, b"D": self._list_drivers, b"B": self._leave,
        }  # fmt: skip

    def answer(self, kind: bytes, value: Any) -> None:
        """Do what is asked and answer it."""
        number = value["number"]
        try:
            done = self._acts[kind](value)
        except MemoryError:
            os._exit(70)
        except UnicodeDecodeError:
            # What it would say holds the cell.
            write_frame(self._answers, b"X", {"number": number, "state": "22021", "text": "a text is not valid UTF-16"})
            return
        except Exception as err:  # noqa: BLE001 - the top of a process: whatever it is, the parent is told
            state = str(err.args[0]) if err.args else ""
            text = " ".join(str(part) for part in err.args[1:]) or str(err)
            write_frame(self._answers, b"X", {"number": number, "state": state, "text": f"{text}"[:4000]})
            return
        write_frame(self._answers, b"R" if "rows" in done else b"K", {"number": number, **done})

    def abort(self) -> None:
        """End what the driver is doing, from another thread; whoever waits for it gets the driver's error."""
        cursor = self._cursor
        if cursor is not None:
            # It may have ended meanwhile.
            with contextlib.suppress(Exception):
                cursor.cancel()

    def _list_drivers(self, _: Any) -> dict[str, Any]:
        import pyodbc

        return {"drivers": list(pyodbc.drivers())}

    def _connect(self, value: Any) -> dict[str, Any]:
        import pyodbc

        pyodbc.pooling = False
        connection = pyodbc.connect(value["text"], autocommit=True, timeout=value["timeout_s"])
        # Text comes as UTF-16 whatever the driver calls its type; bytes are only asked for as hexadecimal text.
        connection.setdecoding(pyodbc.SQL_WCHAR, encoding=_WIDE, ctype=pyodbc.SQL_WCHAR)
        connection.setdecoding(pyodbc.SQL_CHAR, encoding=_WIDE, ctype=pyodbc.SQL_WCHAR)
        self._connection = connection
        return {
            "server": f"{connection.getinfo(pyodbc.SQL_DBMS_NAME)} {connection.getinfo(pyodbc.SQL_DBMS_VER)}",
            "driver": f"{connection.getinfo(pyodbc.SQL_DRIVER_NAME)} {connection.getinfo(pyodbc.SQL_DRIVER_VER)}",
        }

    def _begin(self, _: Any) -> dict[str, Any]:
        self._connection.autocommit = False
        return {}

    def _open(self, sql: str) -> Any:
        self._stop({})
        self._cursor = self._connection.cursor()
        return self._cursor.execute(sql)

    def _execute(self, value: Any) -> dict[str, Any]:
        self._open(value["sql"])
        return self._stop({})

    def _query(self, value: Any) -> dict[str, Any]:
        described = self._open(value["sql"]).description
        return {"width": len(described or ())}

    def _next(self, _: Any) -> dict[str, Any]:
        rows: list[list[str | None]] = []
        size = 0
        while size < BATCH_CHARACTERS and len(rows) < BATCH_ROWS:
            row = self._cursor.fetchone()
            if row is None:
                self._stop({})
                return {"rows": rows, "last": True}
            cells = [_text_of(cell) for cell in row]
            size += sum(len(cell) for cell in cells if cell is not None)
            rows.append(cells)
        return {"rows": rows, "last": False}

    def _stop(self, _: Any) -> dict[str, Any]:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()
        return {}

    def _ask_catalog(self, value: Any) -> dict[str, Any]:
        self._stop({})
        self._cursor = cursor = self._connection.cursor()
        found = getattr(cursor, value["function"])(**value["arguments"])
        names = [column[0].lower() for column in found.description]
        picked = [names.index(name) for name in value["columns"]]
        rows = [[_text_of(row[i]) for i in picked] for row in found]
        self._stop({})
        return {"rows": rows, "last": True}

    def _leave(self, _: Any) -> dict[str, Any]:
        self._stop({})
        if self._connection is not None:
            self._connection.close()
        return {}


def _text_of(cell: object) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes | bytearray):
        return cell.hex()
    return str(cell)


if __name__ == "__main__":
    main()
