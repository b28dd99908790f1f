# SPDX-License-Identifier: Apache-2.0
"""What `check` examines at a SQLite source: the file, its mode, what stands beside it, its tables. Reads no rows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.collectors.base import Finding, Severity
from agent.collectors.mounts import Mount, find_mount
from agent.collectors.sqlite.catalog import Catalog
from agent.collectors.sqlite.opening import Mode
from terminal.language import Text

_SHOWN: Final = 5
_LARGE_WAL: Final = 64 << 20
"""SQLite checkpoints at 4 MB by itself: a WAL far larger has readers, or a program, that do not let it."""


def judge(path: Path, mode: Mode, catalog: Catalog, mounts: list[Mount]) -> Iterator[Finding]:
    """Give what was found at a database that could be opened."""
    subject, real = str(path), path.resolve()
    yield _judge_mode(subject, mode)
    yield from _judge_rights(subject, real)
    yield from _judge_wal(subject, real, mode)
    yield from _judge_place(subject, real, mode, mounts)
    yield from _judge_tables(subject, catalog)


def _judge_mode(subject: str, mode: Mode) -> Finding:
    if mode is Mode.ROLLBACK:
        return Finding(
            Severity.WARN, subject,
            Text("数据库是回滚日志模式：读取期间应用不能提交",
                 "the database is in rollback-journal mode: the application cannot commit while it is read"),
            Text("让应用改用 WAL（PRAGMA journal_mode=WAL），或在无人工作时取快照",
                 "let the application switch to WAL (PRAGMA journal_mode=WAL), or take snapshots when nobody works"),
        )  # fmt: skip
    return Finding(Severity.OK, subject, Text(f"可读（{mode}）", f"readable ({mode})"))


def _judge_rights(subject: str, real: Path) -> Iterator[Finding]:
    if os.access(real, os.W_OK):
        yield Finding(
            Severity.WARN, subject,
            Text("本账户可以改写这个数据库；它只需要读", "this account could write the database: it needs only to read"),
            Text("以只读账户运行采集端，用该账户执行 check（见 `jinsuo-agent grants`）",
                 "run the agent, and this check, as an account that may only read (see `jinsuo-agent grants`)"),
        )  # fmt: skip


def _judge_wal(subject: str, real: Path, mode: Mode) -> Iterator[Finding]:
    size = 0
    with suppress(OSError):
        size = real.with_name(real.name + "-wal").stat().st_size
    if mode is Mode.WAL and size > _LARGE_WAL:
        yield Finding(
            Severity.WARN, subject,
            Text(f"WAL 已有 {size >> 20} MiB：没有做检查点，快照期间还会增长",
                 f"the WAL has {size >> 20} MiB: it is not checkpointed, and grows on while a snapshot is read"),
            Text("查看是否有长期打开的读取，或应用关闭了 wal_autocheckpoint",
                 "look for a reader that stays open, or an application that has turned wal_autocheckpoint off"),
        )  # fmt: skip


def _judge_place(subject: str, real: Path, mode: Mode, mounts: list[Mount]) -> Iterator[Finding]:
    mount = find_mount(real, mounts)
    if mount is not None and mount.is_networked:
        yield Finding(
            Severity.WARN if mode is Mode.ROLLBACK else Severity.FAIL, subject,
            Text(f"文件在网络文件系统上（{mount.kind}，{mount.place}）：SQLite 的锁和 WAL 在那里不可靠",
                 f"the file is on a network file system ({mount.kind} at {mount.place}): locks and WAL do not hold there"),
            Text("把采集端装在数据库所在的机器上", "run the agent on the machine that has the database"),
        )  # fmt: skip


def _judge_tables(subject: str, catalog: Catalog) -> Iterator[Finding]:
    if not catalog.tables:
        yield Finding(
            Severity.WARN, subject, Text("没有可读的表", "no table is left to read"),
            Text("检查 `path`、`include`、`exclude`", "check `path`, `include` and `exclude`"),
        )  # fmt: skip
    else:
        yield Finding(Severity.OK, subject, Text(f"{len(catalog.tables)} 张表", f"{len(catalog.tables)} tables"))
    for omission in catalog.omitted:
        yield Finding(
            Severity.WARN, f"{subject}: {omission.name}",
            Text(f"不在快照中：{omission.reason}", f"not in the snapshot: {omission.reason}"),
        )  # fmt: skip
    keyless = [s.table.schema.name for s in catalog.tables if not s.table.schema.key]
    if keyless:
        yield Finding(
            Severity.WARN, subject,
            Text(f"{len(keyless)} 张表没有主键：{_some(keyless)}",
                 f"{len(keyless)} tables have no key: {_some(keyless)}"),
            Text("由采集端按整行排序；单行不能按主键查找",
                 "the agent sorts them by whole rows; a row cannot be found by a key"),
        )  # fmt: skip
    sorted_here = [s.table.schema.name for s in catalog.tables if s.table.schema.key and not s.table.ordered]
    if sorted_here:
        yield Finding(
            Severity.OK, subject,
            Text(f"{len(sorted_here)} 张表由采集端排序：{_some(sorted_here)}",
                 f"{len(sorted_here)} tables are sorted by the agent, for SQLite has their key in another order: "
                 f"{_some(sorted_here)}"),
            Text("占用临时空间，`jinsuo-agent plan` 会实测", "it takes room, which `jinsuo-agent plan` measures"),
        )  # fmt: skip
    for note in catalog.notes:
        yield Finding(Severity.OK, subject, note)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
