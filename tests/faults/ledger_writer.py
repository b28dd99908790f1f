# SPDX-License-Identifier: Apache-2.0
"""A process that appends to a ledger and says what was acknowledged; for tests that kill it. Not a test itself.

Usage: ledger_writer.py FOLDER FIRST COUNT THREADS [STEP NTH]. Notes are numbered from FIRST. Prints `ack NUMBER INDEX`
after each append. With STEP, the process kills itself (SIGKILL) at the NTH step of that name.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from center.ledger.ledger import Ledger
from center.ledger.sequence import Step
from evidence.manifest.entry import Level
from tests.builders.ledgers import LOG, Clock, Steps, note_of


def main(folder: str, first: str, count: str, threads: str, step: str = "", nth: str = "1") -> None:
    """Append COUNT entries with THREADS threads."""
    steps = Steps(Step[step] if step else None, lambda: os.kill(os.getpid(), signal.SIGKILL), int(nth))
    printing = threading.Lock()
    with Ledger(Path(folder), LOG, Clock(), steps) as ledger:

        def work(numbers: range) -> None:
            for number in numbers:
                sealed = ledger.append("statement", Level.STORED, note_of(number))
                with printing:
                    sys.stdout.write(f"ack {number} {sealed.index}\n")
                    sys.stdout.flush()

        start, stop, stride = int(first), int(first) + int(count), int(threads)
        workers = [threading.Thread(target=work, args=(range(start + i, stop, stride),)) for i in range(stride)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
