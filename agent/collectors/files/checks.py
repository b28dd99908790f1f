# SPDX-License-Identifier: Apache-2.0
"""What `check` examines at a folder: whether it can be read to the leaves, what is mounted in it, names, rights.

Files are opened and closed, not read; of a large tree the first entries are looked at, and that is said.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from stat import S_ISREG
from typing import Final

from agent.collectors.base import Finding, Severity
from agent.collectors.files.folder import Folder
from agent.collectors.files.notes import Notes, show
from agent.collectors.files.settings import FilesSettings
from agent.collectors.files.walk import UNREADABLE_FOLDER, Entry, walk
from agent.collectors.mounts import Mount, find_mount, find_mounts_below
from terminal.language import Text

MOST_ENTRIES: Final = 20_000
MOST_S: Final = 10.0
_SHOWN: Final = 5


@dataclass(slots=True)
class _Seen:
    """What a walk has met. `is_whole`: it saw all of the tree."""

    entries: int = 0
    is_whole: bool = True
    barred: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)


def judge(root: Folder, settings: FilesSettings, mounts: list[Mount], clock: Callable[[], float]) -> Iterator[Finding]:
    """Give what was found at a folder that could be opened. Raises: OSError if it cannot be listed."""
    subject, real = str(settings.path), settings.path.resolve()
    seen = _look(root, settings, clock)
    if not seen.entries:
        yield Finding(
            Severity.WARN, subject, Text("目录是空的", "the folder is empty"),
            Text("检查 `path`，以及卷是否已挂载", "check `path`, and that the volume is mounted"),
        )  # fmt: skip
        return
    yield _judge_extent(subject, seen)
    yield from _judge_barred(subject, seen)
    yield from _judge_names(subject, seen)
    if os.access(settings.path, os.W_OK):
        yield Finding(
            Severity.WARN, subject,
            Text("本账户可以改写这个目录；它只需要读", "this account could write the folder: it needs only to read"),
            Text("以只读账户运行采集端，用该账户执行 check（见 `jinsuo-agent grants`）",
                 "run the agent, and this check, as an account that may only read (see `jinsuo-agent grants`)"),
        )  # fmt: skip
    own = find_mount(real, mounts)
    if own is not None and own.is_networked:
        yield Finding(
            Severity.WARN, subject,
            Text(f"目录在网络文件系统上（{own.kind}，{own.place}）：断线时读到的内容不全",
                 f"the folder is on a network file system ({own.kind} at {own.place}): if it breaks, content is missing"),
            Text("尽量把采集端装在文件所在的机器上", "run the agent on the machine that has the files, if you can"),
        )  # fmt: skip
    for mount in find_mounts_below(real, mounts)[:_SHOWN]:
        yield Finding(
            Severity.WARN, subject,
            Text(f"其中挂载了另一个文件系统（{mount.kind}，{mount.place}）：它会一起读入，未挂载时则像是被删除了",
                 f"another file system is mounted within ({mount.kind} at {mount.place}): it is read too, and looks deleted "
                 "whenever it is not mounted"),
            Text("用 exclude 排除，或把它设为单独的来源", "exclude it, or make it a source of its own"),
        )  # fmt: skip


def _look(root: Folder, settings: FilesSettings, clock: Callable[[], float]) -> _Seen:
    seen, notes, end = _Seen(), Notes(), clock() + MOST_S
    for entry in walk(root, settings, notes):
        if seen.entries >= MOST_ENTRIES or (seen.entries and clock() >= end):
            seen.is_whole = False
            break
        seen.entries += 1
        if not _is_utf8(entry.path):
            seen.unnamed.append(show(entry.path))
        if not _can_open(entry):
            seen.barred.append(show(entry.path))
    seen.folders += [line for line in notes.lines() if line.startswith(UNREADABLE_FOLDER)]
    return seen


def _can_open(entry: Entry) -> bool:
    """Tell whether a regular file can be opened; of anything else, and what has vanished, nothing is said."""
    try:
        if S_ISREG(entry.folder.look(entry.name).st_mode):
            os.close(entry.folder.open_file(entry.name))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _judge_extent(subject: str, seen: _Seen) -> Finding:
    if seen.is_whole:
        return Finding(Severity.OK, subject, Text(f"共 {seen.entries:,} 项", f"{seen.entries:,} entries"))
    return Finding(
        Severity.OK, subject,
        Text(f"只看了前 {seen.entries:,} 项", f"the first {seen.entries:,} entries were looked at, not all"),
        Text("快照会记下每一个读不了的文件", "a snapshot notes every file that it cannot read"),
    )  # fmt: skip


def _judge_barred(subject: str, seen: _Seen) -> Iterator[Finding]:
    hint = Text("授予采集端账户读取的权限", "give the agent's account the right to read")
    if seen.folders:
        yield Finding(
            Severity.FAIL, subject,
            Text(f"{len(seen.folders)} 个目录进不去，其中的文件会全部缺失：{_some(seen.folders)}",
                 f"{len(seen.folders)} folders cannot be read, and all below them would be missing: {_some(seen.folders)}"),
            hint,
        )  # fmt: skip
    if seen.barred:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(seen.barred)} 个文件不可读：{_some(seen.barred)}",
                 f"{len(seen.barred)} files may not be read: {_some(seen.barred)}"),
            hint,
        )  # fmt: skip


def _judge_names(subject: str, seen: _Seen) -> Iterator[Finding]:
    if seen.unnamed:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(seen.unnamed)} 个名称不是 UTF-8（Windows 上：不成对的代理项）：{_some(seen.unnamed)}；按字节登记",
                 f"{len(seen.unnamed)} names are not UTF-8 (on Windows: unpaired surrogates): {_some(seen.unnamed)}; they are "
                 "registered as their bytes"),
            Text("应用若以 GBK 写名称，恢复到别的系统前要改名", "if an application names files in GBK, rename them before they "
                 "are restored elsewhere"),
        )  # fmt: skip


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
