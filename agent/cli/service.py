# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent service …`: the agent's service on this machine, under systemd or Windows' service manager."""

import argparse
import sys
from pathlib import Path

from agent.cli.asking import read_line
from agent.config import CONFIG_NAME, load_config
from agent.service.systemd import NAME, plan_unit, refuse
from terminal.language import Text
from terminal.printer import Printer
from terminal.service.base import Service
from terminal.service.systemd import SystemdService
from terminal.service.unit import Unit, find_setting


def make_service(args: argparse.Namespace, out: Printer) -> Service:
    """Make the service of this machine's kind. Raises: ServiceError."""
    if sys.platform == "win32":
        from agent.service.windows import WindowsService

        def ask_password(account: str) -> str:
            return read_line(out, Text(zh=f"{account} 的口令：", en=f"Password of {account}: "))

        return WindowsService(args.folder, getattr(args, "user", None), ask_password)
    return make_systemd_service(args)


def make_systemd_service(args: argparse.Namespace, root: Path = Path("/")) -> SystemdService:
    """Make the service below `root`; the folder is the one that -C names, or where nothing is, the installed one's."""

    def plan(installed: str | None) -> Unit:
        folder = args.folder.absolute()
        if not (folder / CONFIG_NAME).is_file() and installed is not None:
            folder = Path(find_setting(installed, "WorkingDirectory") or folder)
        return plan_unit(
            folder, load_config(folder), installed,
            user=getattr(args, "user", None), reads_any_file=getattr(args, "read_any_file", False),
        )  # fmt: skip

    return SystemdService(NAME, plan, refuse, root)
