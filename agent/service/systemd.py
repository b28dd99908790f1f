# SPDX-License-Identifier: Apache-2.0
"""The agent under systemd: which unit its settings ask for, and how its daemon tells that it lives.

The unit opens what the sources need and closes the rest: a SQLite database in WAL mode is read together with the files
beside it, which readers lock; a dump command writes where its `path` says; bags and logs go where they are told; a socket or
a file in /tmp is seen only where /tmp is the machine's. Knows no systemctl: `terminal.service.systemd` does.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from agent.config import AgentConfig
from agent.errors import ServiceError
from agent.settings.reference import is_reference
from agent.settings.sources import AnySource, CommandSource, SqliteSource
from terminal.language import Text
from terminal.service.notify import Heart, Notifier
from terminal.service.unit import Unit, find_program, find_setting

NAME = "jinsuo-agent"
PATIENCE_S = 24 * 3600.0
"""So long one step of the daemon may take: the first snapshot of a large source is sent for hours."""
_MEMORY_MAX = "1G"
_MEMORY_MAX_WITH_COMMANDS = "4G"
_TMP = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - looked for among the settings, not used


def refuse(message: Text, hint: Text) -> ServiceError:
    """Make the agent's error of what a service manager refuses."""
    return ServiceError(message, hint=hint)


def plan_unit(
    folder: Path, config: AgentConfig, installed: str | None, *, user: str | None = None, reads_any_file: bool = False
) -> Unit:
    """Give the unit that an agent needs. Where `user` is not given, what is installed keeps its account and rights."""
    kept = installed or ""
    return Unit(
        name=NAME,
        title="Jinsuo agent: consistent snapshots for the archives",
        argv=(*find_program(NAME, "agent.cli.main"), "-C", str(folder), "run"),
        user=user or find_setting(kept, "User") or NAME,
        folder=PurePosixPath(folder),
        memory_max=_MEMORY_MAX_WITH_COMMANDS if _has_commands(config) else _MEMORY_MAX,
        steps_back=config.throttle.priority == "low",
        also_own=() if config.spool.folder.is_relative_to(folder) else (PurePosixPath(config.spool.folder),),
        writable=tuple(PurePosixPath(path) for path in _written(folder, config)),
        credentials=tuple(sorted(set(find_credentials(config)))),
        sees_tmp=any(path.is_relative_to(tmp) for source in config.sources for path in _read(source) for tmp in _TMP),
        reads_any_file=reads_any_file or bool(user is None and find_setting(kept, "AmbientCapabilities")),
    )


def find_credentials(config: AgentConfig) -> list[str]:
    """Give the names of the systemd credentials that the settings refer to."""
    references = [] if config.road.proxy is None else [config.road.proxy.password or ""]
    for source in config.sources:
        if isinstance(source, CommandSource):
            references += [value for value in source.env.values() if is_reference(value)]
        else:
            references.append(getattr(source, "password", None) or "")
    return [name for scheme, _, name in (each.partition(":") for each in references) if scheme == "credential"]


def _has_commands(config: AgentConfig) -> bool:
    return any(isinstance(source, CommandSource) for source in config.sources)


def _written(folder: Path, config: AgentConfig) -> list[Path]:
    """Give what is written outside of what the agent owns."""
    gateway = config.road.folder
    return [
        *(path for source in config.sources for path in _written_for(source)),
        *((gateway.outbox, gateway.inbox) if gateway is not None else ()),
        *([(folder / config.log.file).parent] if config.log.file is not None else ()),
    ]


def _written_for(source: AnySource) -> list[Path]:
    """Give where others than the agent write for it, or where reading needs locks."""
    if isinstance(source, SqliteSource):
        return [source.path.parent]
    if isinstance(source, CommandSource):
        return [path for path in (source.path.parent if source.path else None, source.cwd) if path is not None]
    return []


def _read(source: AnySource) -> list[Path]:
    """Give the paths that the settings of a source name, among them the folder of a socket."""
    host = getattr(source, "host", "")
    return [
        *(path for path in (getattr(source, "path", None), getattr(source, "cwd", None)) if path is not None),
        *([Path(host)] if host.startswith("/") else []),
    ]


class Attendance:
    """Tell systemd how the daemon is, as one who attends its rounds: ready at the first, stopping at the end.

    Between rounds a thread beats. A round that takes longer than `PATIENCE_S` is taken for hung: the beats end, and
    systemd starts the daemon anew, which loses nothing. `wait` is the thread's, for tests.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._last: float | None = None
        self._heart = Heart(Notifier.of(environ), self._is_alive, wait)

    def step(self, now: datetime) -> None:  # noqa: ARG002 - the form of an attendant
        """Take note that a round has come."""
        is_first = self._last is None
        self._last = self._monotonic()
        if is_first:
            self._heart.begin("at work")

    def on_run(self, run: object) -> None:
        """Nothing: how runs end is no matter of the service manager."""

    def close(self) -> None:
        """Say that the daemon is stopping."""
        self._heart.end()

    def _is_alive(self) -> bool:
        return self._last is not None and self._monotonic() - self._last < PATIENCE_S
