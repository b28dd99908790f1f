# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent pause` and `resume`: leave every live system alone, at once, until told otherwise.

They need neither settings nor the journal to be in order: whoever pauses may have no time to mend them.
"""

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.pausing import Pause, PauseFile
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer
from terminal.settings import parse_duration

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class PauseAgent:
    """Pause."""

    name = "pause"
    help = Text(zh="暂停：不碰任何业务系统", en="pause: leave every live system alone")
    description = Text(
        zh="从现在起不开始任何快照、发送和比对（返回 2）；正在读取的快照在下一块数据时结束，放开业务系统，\n"
        "已读的数据留在发件箱，下次不必重发。直到 --until 或 --for 到时，或 `jinsuo-agent resume`。",
        en="From now on no snapshot, sending or comparison begins (exit code 2). A snapshot that is being read ends at\n"
        "its next block and lets go of the source; what was read stays in the spool and need not be sent again. Lasts\n"
        "until the time given, or `jinsuo-agent resume`.",
    )
    examples = Examples(
        sh="jinsuo-agent pause --until 06:00", powershell='jinsuo-agent pause --until "2026-12-01 06:00"'
    )

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    def add_arguments(self, parser: Parser) -> None:
        """Add --until and --for."""
        parser.add(
            "--until",
            metavar="TIME",
            help=Text(zh="本地时间，例如 06:00 或 2026-12-01 06:00", en="local time: 06:00, or 2026-12-01 06:00"),
        )
        parser.add(
            "--for", dest="lasting", metavar="DURATION", help=Text(zh="时长，例如 2h、30min", en="such as 2h or 30min")
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Keep the pause."""
        now = self._clock()
        pause = Pause(now, _find_end(args.until, args.lasting, now))
        _check_folder(args.folder)
        PauseFile(args.folder).set(pause)
        show_pause(out, pause)
        out.result({"since": pause.since, "until": pause.until})
        return EXIT_OK


class Resume:
    """Resume."""

    name = "resume"
    help = Text(zh="结束暂停", en="end a pause")
    description = Text(
        zh="快照、发送和比对重新可以开始；watch 至多十分钟后恢复。没有暂停时什么也不做。",
        en="Snapshots, sending and comparing may begin again; `watch` goes on within ten minutes. Does nothing where\n"
        "there is no pause.",
    )
    examples = Examples(sh="jinsuo-agent resume", powershell="jinsuo-agent resume")

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Take the pause back."""
        _check_folder(args.folder)
        pauses = PauseFile(args.folder)
        was_paused = pauses.find(self._clock()) is not None
        pauses.clear()
        out.say(
            Text(zh="已恢复", en="resumed") if was_paused else Text(zh="没有暂停", en="there was no pause in force")
        )
        out.result({"was_paused": was_paused})
        return EXIT_OK


def show_pause(out: Printer, pause: Pause) -> None:
    """Tell a person of a pause that is in force."""
    if pause.until is None:
        out.say(Text(zh="已暂停，直到 `jinsuo-agent resume`", en="paused until `jinsuo-agent resume`"))
    else:
        until = out.time(pause.until)
        out.say(Text(zh=f"已暂停，直到 {until}", en=f"paused until {until}"))


def _find_end(until: str | None, lasting: str | None, now: datetime) -> datetime | None:
    if until is not None and lasting is not None:
        raise UsageError(
            Text(zh="--until 与 --for 只能用一个", en="--until and --for exclude each other"),
            hint=Text(zh="去掉其一", en="leave one of them out"),
        )
    if lasting is not None:
        seconds = parse_duration(lasting)
        if not seconds:
            raise UsageError(
                Text(zh=f"--for：看不懂 {lasting}", en=f"--for: {lasting} is no duration"),
                hint=Text(zh="例如 30min、2h、1d", en="such as 30min, 2h or 1d"),
            )
        return now + timedelta(seconds=seconds)
    return None if until is None else _find_time(until, now)


def _find_time(text: str, now: datetime) -> datetime:
    """Give the next such time of day, or that very time; local unless it says otherwise."""
    local = now.astimezone()
    try:
        if clock := _CLOCK.fullmatch(text):
            end = local.replace(tzinfo=None, hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            # A day later by the wall clock, whatever summer time makes of it.
            end = end if end.astimezone() > now else end + timedelta(days=1)
        else:
            end = datetime.fromisoformat(text)
        found = end.astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise UsageError(
            Text(zh=f"--until：看不懂 {text}", en=f"--until: {text} is no time"),
            hint=Text(zh="例如 06:00 或 2026-12-01 06:00", en="such as 06:00, or 2026-12-01 06:00"),
        ) from err
    if found <= now:
        raise UsageError(
            Text(zh=f"--until：{text} 已经过去", en=f"--until: {text} is over"),
            hint=Text(zh="给一个将来的时间", en="give a time to come"),
        )
    return found


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(
            Text(zh=f"没有目录 {folder}", en=f"there is no folder {folder}"),
            hint=Text(zh="用 -C 指明采集端的目录", en="name the agent's folder with -C"),
        )
