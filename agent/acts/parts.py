# SPDX-License-Identifier: Apache-2.0
"""What an opened agent consists of, made once: its folder, settings, clock, memories, and the spool of each source.

agent.yaml       settings                     keys/, center.json     who this agent is, after enrolment
journal.sqlite   taken, sent, receipted       spool/SOURCE/          packs that wait for a receipt
holdings.sqlite  disposable cache             receipts/, manifests/  a file per statement, for people and `compare`
watching/        what watched sources were like when they were last taken
media/           what was written on offline media
load/            what each run asked of its source     logins/, paused.json    refused logins, the operator's pause
remembered/      disposable cache: what files were when they were read
schedule.sqlite  what is due, and what became of each scheduled run (`agent.jobs`)
"""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from agent.bagged import BagLog
from agent.collectors.base import Collector, Placed
from agent.config import AgentConfig
from agent.errors import AgentError, SourceError, SpoolError
from agent.holdings import Holdings
from agent.host import SystemHost, own_cpu_s
from agent.journal import Journal
from agent.load import LoadLog
from agent.lock import RunLock
from agent.media.desk import MediaDesk, media_folder
from agent.media.sets import MediaSets
from agent.pausing import PauseFile
from agent.secrets import Secrets
from agent.settings.sources import AnySource
from agent.snapshot.supervised import Machine
from agent.sources import SourceMaker
from agent.spool import Spool
from evidence.disk import make_folder
from terminal.language import Text

JOURNAL_NAME = "journal.sqlite"
HOLDINGS_NAME = "holdings.sqlite"
THIS_MACHINE = Machine(time.monotonic, time.sleep, SystemHost(), own_cpu_s)
MakeSources = Callable[[Path, Mapping[str, str], Callable[[], datetime]], SourceMaker]


class Parts:
    """The parts of the agent in `folder`. What is opened with it, or put into `closing`, is closed with it."""

    def __init__(
        self, folder: Path, config: AgentConfig, clock: Callable[[], datetime], environ: Mapping[str, str],
        machine: Machine = THIS_MACHINE, make_sources: MakeSources = SourceMaker,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.config = config
        self.clock = clock
        self.environ = environ
        self.machine = machine
        self.version = version("jinsuo")
        self.secrets = Secrets(folder, environ)
        self.sources = make_sources(folder, environ, clock)
        self.pauses = PauseFile(folder)
        self.loads = LoadLog(folder)
        self.closing = ExitStack()
        self.journal = Journal(folder / JOURNAL_NAME)
        self.closing.callback(self.journal.close)
        self.holdings = Holdings(folder / HOLDINGS_NAME)
        self.closing.callback(self.holdings.close)
        self.bags = BagLog(folder / JOURNAL_NAME)
        self.closing.callback(self.bags.close)

    def source_names(self) -> list[str]:
        """Give the names of the configured sources, in the order of the file."""
        return [source.name for source in self.config.sources]

    def get_source(self, name: str) -> AnySource:
        """Give the settings of a source. Raises: SourceError if there is no such source."""
        source = self.config.find_source(name)
        if source is None:
            known = ", ".join(self.source_names()) or "none"
            raise SourceError(
                Text(zh=f"agent.yaml 中没有来源 {name!r}", en=f"agent.yaml has no source {name!r}"),
                hint=Text(
                    zh=f"现有来源：{known}；在 `sources:` 下添加",
                    en=f"its sources are: {known}; add one under `sources:`",
                ),
            )
        return source

    def collector(self, name: str) -> Collector:
        """Give the collector of a configured source, as it is. Raises: SourceError if there is no such source."""
        return self.sources.collector(self.get_source(name))

    def find_data(self, source: AnySource) -> Path | None:
        """Give the folder in which a source's data lie on this machine, if that can be told."""
        try:
            collector = self.sources.collector(source)
        except AgentError:
            return None  # the check of the source itself tells why
        return collector.data_folder() if isinstance(collector, Placed) else None

    def lock(self, name: str, *, sends: bool = False) -> RunLock:
        """Give the lock of a source's runs, to be entered. `sends`: nothing is read under it."""
        return RunLock(self.folder / "locks" / name, name, sends=sends)

    def spool(self, name: str) -> Spool:
        """Give the spool of a source."""
        settings = self.config.spool
        return Spool(
            settings.folder / name,
            max_bytes=settings.max_size,
            min_free_bytes=settings.min_free,
            keep_bytes=settings.keep,
            level=settings.compression,
        )

    def working_spool(self, name: str) -> Spool:
        """Give the spool of a source, to work in.

        Raises: SpoolError if content waits in it by the journal, and its folder, outside the agent's, is not there. A
        volume that is not mounted leaves an empty folder: what waits on it would be given up, and be there tomorrow.
        """
        place = self.config.spool.folder / name
        if not place.is_relative_to(self.folder) and not place.is_dir():
            waiting = [
                entry for entry in self.journal.unfinished_of(name) if entry.spooled_bytes and not entry.is_given_up
            ]
            if waiting:
                raise SpoolError(
                    Text(
                        zh=f"发件箱 {place} 不在了，而 {name} 有 {len(waiting)} 次快照的内容在其中等待：该卷可能没有挂载",
                        en=f"the spool {place} is not there, and content of {len(waiting)} snapshots of {name} waits in it:"
                        " its volume may not be mounted",
                    ),
                    hint=Text(
                        zh="挂载该卷（或改正 agent.yaml 的 spool.folder）再试；若已永远丢失，新建此目录即可继续，缺口会写入声明",
                        en="mount it, or correct spool.folder in agent.yaml; if it is gone for good, make that folder: the"
                        " agent goes on then, and a gap says what is lost",
                    ),
                )
        return self.spool(name)

    def spool_free_bytes(self) -> int:
        """Give the bytes free on the spool's volume."""
        folder = self.config.spool.folder
        make_folder(folder)
        return shutil.disk_usage(folder).free

    def media_sets(self) -> MediaSets:
        """Give what was written on offline media."""
        return MediaSets(media_folder(self.folder))

    def media_desk(self, name: str) -> MediaDesk:
        """Give the desk where media of a source are written."""
        return MediaDesk(name, self.media_sets(), self.spool(name), self.journal, self.config.media, self.clock)
