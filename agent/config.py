# SPDX-License-Identifier: Apache-2.0
"""agent.yaml as frozen models: what a person sets. No secret stands here, only the name of one.

Which center this agent belongs to is not a setting: enrolment writes it beside the keys. What its parts may hold is in
`agent/settings`. Invariant: a loaded configuration has absolute paths, and no two sources whose names differ at most in
case (a Windows folder could not keep their spools apart).
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from agent.settings.health import HealthSettings
from agent.settings.heartbeat import HeartbeatSettings
from agent.settings.media import MediaSettings
from agent.settings.names import Name
from agent.settings.rhythm import OnChange
from agent.settings.road import RoadSettings
from agent.settings.schedule import Schedule, TimeZone
from agent.settings.sources import AnySource, FilesSource, Source, SqliteSource, within
from agent.settings.throttle import SourceThrottle, ThrottleSettings
from evidence.manifest.group import MAX_MEMBERS
from terminal.language import Language, Text
from terminal.log_settings import LogSettings
from terminal.settings import Seconds, Settings, SizeBytes, mistake, read_settings

CONFIG_NAME = "agent.yaml"


class SpoolSettings(Settings):
    """The durable outbox. `max_size` caps what waits in it; `min_free` is left free on its volume.

    `keep`: so much of what each source has sent stays, so that changed pages travel as differences against it.
    `max_age`: content of middle days that has waited longer is given up; None: only the caps of size give it up.
    """

    folder: Path = Path("spool")
    max_size: Annotated[SizeBytes, Field(ge=64 << 20)] = 20 << 30
    min_free: Annotated[SizeBytes, Field(ge=0)] = 1 << 30
    keep: Annotated[SizeBytes, Field(ge=0)] = 2 << 30
    max_age: Annotated[Seconds, Field(ge=86400)] | None = None
    compression: Annotated[int, Field(ge=1, le=19)] = 1


def _check_sources(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    seen: dict[str, str] = {}
    for index, source in enumerate(sources):
        other = seen.setdefault(source.name.casefold(), source.name)
        if index and len(seen) <= index:
            raise mistake(
                Text(
                    zh=f"不同的名称：{source.name} 与另一个来源 {other} 同名（大小写不算不同）",
                    en=f"a name of its own: {source.name} is the name of another source, {other}, but for case",
                ),
                at=(index, "name"),
            )
    return sources


class GroupSettings(Settings):
    """Sources whose views are opened at one moment, in the order in which they are read."""

    name: Name
    sources: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MAX_MEMBERS)]
    schedule: Schedule | None = None


class AgentConfig(Settings):
    """The whole file. Times are in seconds, sizes in bytes."""

    language: Language | None = None
    time_zone: TimeZone | None = None
    spool: SpoolSettings = SpoolSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    media: MediaSettings = MediaSettings()
    road: RoadSettings = RoadSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    sources: Annotated[tuple[Source, ...], AfterValidator(_check_sources)] = ()
    groups: tuple[GroupSettings, ...] = ()

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        sources = [source.name for source in self.sources]
        taken = {name.casefold() for name in sources}
        for i, group in enumerate(self.groups):
            if group.name.casefold() in taken:
                text = Text(zh="与来源和其他组都不同的名称", en="a name that no source and no other group has")
                raise mistake(text, at=("groups", i, "name"))
            taken.add(group.name.casefold())
            for j, name in enumerate(group.sources):
                if name not in sources:
                    listed = ", ".join(sources) or "-"
                    text = Text(zh=f"sources 中的名称：{listed}", en=f"a name among the sources: {listed}")
                    raise mistake(text, at=("groups", i, "sources", j))
                if name in group.sources[:j]:
                    text = Text(zh="每个来源一次", en="each source once")
                    raise mistake(text, at=("groups", i, "sources", j))
        return self

    @model_validator(mode="after")
    def _check_changes(self) -> Self:
        """`on change` needs somebody who watches."""
        for i, source in enumerate(self.sources):
            is_watched = isinstance(source, SqliteSource | FilesSource) and source.watch is not None
            if source.schedule and isinstance(source.schedule.rhythm, OnChange) and not is_watched:
                text = Text(
                    zh="带 watch 的来源（files 或 sqlite）才能用“变动时”",
                    en="`on change` only where the source has `watch:` (files, sqlite)",
                )
                raise mistake(text, at=("sources", i, "schedule"))
        for i, group in enumerate(self.groups):
            if group.schedule and isinstance(group.schedule.rhythm, OnChange):
                text = Text(zh="按时间的计划：组不能“变动时”", en="a schedule by the clock: a group is not watched")
                raise mistake(text, at=("groups", i, "schedule"))
        return self

    def find_group(self, name: str) -> GroupSettings | None:
        """Give the group of this name, or None."""
        return next((group for group in self.groups if group.name == name), None)

    def find_source(self, name: str) -> AnySource | None:
        """Give the source of this name, or None."""
        return next((source for source in self.sources if source.name == name), None)

    def throttle_of(self, own: SourceThrottle | None) -> SourceThrottle:
        """Give how a source is spared: by its own settings where it has them, else the global ones."""
        names = SourceThrottle.model_fields
        kept = {name: getattr(self.throttle, name) for name in names}
        if own is not None:
            kept |= {name: getattr(own, name) for name in own.model_fields_set}
        return SourceThrottle.model_construct(**kept)

    def with_folder(self, folder: Path) -> Self:
        """Give the same with every relative path taken from `folder`."""
        base = folder.absolute()
        spool = self.spool.model_copy(update={"folder": base / self.spool.folder})
        sources = tuple(within(source, base) for source in self.sources)
        return self.model_copy(update={"spool": spool, "road": self.road.within(base), "sources": sources})


def load_config(folder: Path) -> AgentConfig:
    """Read agent.yaml in `folder`. Raises: SettingsError."""
    return read_settings(folder / CONFIG_NAME, AgentConfig).with_folder(folder)
