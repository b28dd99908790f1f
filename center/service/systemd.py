# SPDX-License-Identifier: Apache-2.0
"""The center under systemd: which unit its settings ask for. Knows no systemctl: `terminal.service.systemd` does."""

from pathlib import Path, PurePosixPath

from center.config import CenterConfig
from center.errors import ServiceError
from terminal.language import Text
from terminal.service.unit import Unit, find_program, find_setting

NAME = "jinsuo-center"
PASSPHRASE = "passphrase"  # noqa: S105 - the credential's name
"""The credential that opens the master key, where that has a passphrase."""
_FIRST_FREE_PORT = 1024
_MEMORY_MAX = "75%"
"""Of the machine's: the archives' machine is the center's own. It takes far less (docs/architecture.md)."""


def refuse(message: Text, hint: Text) -> ServiceError:
    """Make the center's error of what a service manager refuses."""
    return ServiceError(message, hint=hint)


def plan_unit(
    folder: Path,
    config: CenterConfig,
    installed: str | None,
    *,
    user: str | None = None,
    needs_passphrase: bool = False,
) -> Unit:
    """Give the unit that a center needs. Where `user` is not given, what is installed keeps its account."""
    store = config.find_store(folder).absolute()
    return Unit(
        name=NAME,
        title="Jinsuo center: registration and backup of electronic records",
        argv=(*find_program(NAME, "center.cli.main"), "-C", str(folder), "serve"),
        user=user or find_setting(installed or "", "User") or NAME,
        folder=PurePosixPath(folder),
        memory_max=_MEMORY_MAX,
        steps_back=False,
        also_own=() if store.is_relative_to(folder) else (PurePosixPath(store),),
        writable=tuple(PurePosixPath(path) for path in _written(folder, config)),
        # Opening a large store, and ending what is under way, take their time.
        start_s=900,
        stop_s=120,
        credentials=(PASSPHRASE,) if needs_passphrase else (),
        low_ports=config.address[1] < _FIRST_FREE_PORT,
    )


def _written(folder: Path, config: CenterConfig) -> list[Path]:
    """Give what is written outside of what the center owns: drop boxes, a log."""
    return [
        *(folder / path for box in config.inboxes.boxes for path in (box.folder, box.receipts)),
        *([(folder / config.log.file).parent] if config.log.file is not None else ()),
    ]
