# SPDX-License-Identifier: Apache-2.0
"""Run one command, and end it with everything it started as soon as the agent is gone. POSIX; a program of its own.

    python -I -S keeper.py REPORT_FD GRACE_SECONDS      stdin: the order, one line of JSON; then the lifeline

The agent holds the other end of stdin. When that closes, because the agent says so or because it was killed, the
command's process group gets SIGTERM, after the grace SIGKILL. A pipe cannot be forgotten by a crash, needs no
permission, and reaches grandchildren; PR_SET_PDEATHSIG would reach the command alone. The command is in a session of its
own: Ctrl-C at the agent's terminal does not reach it. It is not reaped before the end, so that nobody else can have its
number when the group is signalled.

Reports are lines of JSON on REPORT_FD: {"failed": reason} or {"started": pid}, then {"ended": status}, negative for a
signal. Knows nothing of the agent: it runs without the project on its path.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

_LAST_WAIT_S = 5.0


def main(words: list[str]) -> int:
    """Do one order; give the keeper's own exit code."""
    report, grace_s = int(words[0]), float(words[1])
    os.set_inheritable(report, False)
    # Unbuffered: what follows the order is waited for with os.read.
    with open(0, "rb", buffering=0, closefd=False) as orders:
        order = json.loads(orders.readline())
    try:
        command = subprocess.Popen(  # noqa: S603 - the words of the operator's settings, without a shell
            [word.encode("latin-1") for word in order["argv"]],
            stdin=subprocess.DEVNULL,
            env={name.encode("latin-1"): value.encode("latin-1") for name, value in order["env"].items()},
            cwd=order["cwd"].encode("latin-1") if order["cwd"] else None,
            start_new_session=True,
        )
    except OSError as err:
        _tell(report, failed=err.strerror or str(err))
        return 1
    _let_go_of_pipes()
    _tell(report, started=command.pid)
    ended = threading.Event()
    threading.Thread(target=_await, args=(command.pid, report, ended), daemon=True).start()
    while os.read(0, 64):
        pass
    if not ended.is_set():
        _signal(command.pid, signal.SIGTERM)
        ended.wait(grace_s)
    _signal(command.pid, signal.SIGKILL)
    ended.wait(_LAST_WAIT_S)
    return 0


def _await(pid: int, report: int, ended: threading.Event) -> None:
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert found is not None
    # First the report: when `ended` is set, this program may be over.
    _tell(report, ended=found.si_status if found.si_code == os.CLD_EXITED else -found.si_status)
    ended.set()


def _signal(group: int, number: signal.Signals) -> None:
    # A group of which nobody is left, or nobody whom we may signal (a program that changed its user).
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _let_go_of_pipes() -> None:
    """The output ends when the command ends it, not when the keeper does."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)


def _tell(report: int, **facts: object) -> None:
    with suppress(BrokenPipeError):
        os.write(report, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    # Not through the interpreter's own end, which would wait for the thread that waits for the command.
    os._exit(main(sys.argv[1:]))
