# SPDX-License-Identifier: Apache-2.0
"""What a service of a machine promises, whatever the machine's service manager is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from terminal.language import Text


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What the service manager says.

    `state` is its own word (`active`, `failed`, `RUNNING`), `account` the one that it runs as. `is_current` is False
    where what is installed is not what `install` would write now.
    """

    name: str
    is_installed: bool
    is_running: bool
    starts_at_boot: bool
    state: str
    account: str
    is_current: bool = True


class Service(Protocol):
    """One service. Every act may be repeated. Raises: OperatorError of its side, OSError."""

    name: str

    def install(self) -> Sequence[Text]:
        """Make the service, to be started at every start of the machine; not started yet. Give what a person should know.

        The service's account gets the folder and everything in it.
        """

    def start(self) -> None:
        """Start it; return when it says that it works."""

    def stop(self) -> None:
        """Stop it; return when it has ended."""

    def state(self) -> ServiceState:
        """Ask how it is."""

    def uninstall(self) -> Sequence[Path]:
        """Stop and remove the service; give what stays: the folder with keys, journal and spool."""
