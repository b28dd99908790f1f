# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center service …`: the center's service on this machine, under systemd."""

import argparse
from pathlib import Path

from center.config import CONFIG_NAME, load_config
from center.service.systemd import NAME, plan_unit, refuse
from terminal.printer import Printer
from terminal.service.systemd import SystemdService
from terminal.service.unit import Unit, find_setting


def make_service(args: argparse.Namespace, out: Printer, root: Path = Path("/")) -> SystemdService:  # noqa: ARG001 - the form
    """Make the service below `root`; the folder is the one that -C names, or where nothing is, the installed one's."""

    def plan(installed: str | None) -> Unit:
        folder = args.folder.absolute()
        if not (folder / CONFIG_NAME).is_file() and installed is not None:
            folder = Path(find_setting(installed, "WorkingDirectory") or folder)
        from center.registry.seal import needs_passphrase

        key = folder / "keys" / "master.key"
        return plan_unit(
            folder, load_config(folder / CONFIG_NAME), installed,
            user=getattr(args, "user", None), needs_passphrase=key.is_file() and needs_passphrase(key),
        )  # fmt: skip

    return SystemdService(NAME, plan, refuse, root)
