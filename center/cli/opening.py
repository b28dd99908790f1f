# SPDX-License-Identifier: Apache-2.0
"""How commands open the center, and how they read what names a snapshot: `412`, `his#412`, `latest`, a time.

Times that a person types are local unless they say otherwise (`Z`, `+08:00`). The passphrase of the master key comes
from JINSUO_CENTER_PASSPHRASE, a credential of the service or a prompt, never from an argument. What the center needs
is imported when it is opened: help and wrong usage load nothing.
"""

import argparse
import getpass
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from center.service.systemd import PASSPHRASE
from terminal.command import Parser
from terminal.errors import UsageError
from terminal.language import Text
from terminal.printer import Printer
from terminal.service.credential import find_credential

if TYPE_CHECKING:
    from center.app import Center
    from center.registry.snapshots import Snapshot

PASSPHRASE_VARIABLE: Final = "JINSUO_CENTER_PASSPHRASE"  # noqa: S105 - the name of a variable
LATEST: Final = "latest"
_NUMBER = re.compile(r"(?:([A-Za-z0-9._-]{1,64})#)?([1-9][0-9]{0,15})", re.ASCII)
_PASSPHRASE = Text(zh="主密钥口令：", en="Passphrase of the master key: ")
_N_HELP = Text(
    zh="序号（412 或 his#412）、latest（最新入库的）或时间",
    en="a sequence (412, his#412), `latest` (stored), or a time",
)


def open_center(args: argparse.Namespace, out: Printer) -> "Center":
    """Open the center that the command line names. Raises: CenterError, SettingsError."""
    from center.app import Center

    return Center.open(args.folder, passphrase=find_passphrase(args, out))


def find_passphrase(args: argparse.Namespace, out: Printer) -> bytes | None:
    """Give the master key's passphrase if it has one."""
    from center.registry.seal import needs_passphrase

    path = Path(args.folder) / "keys" / "master.key"
    if not path.is_file() or not needs_passphrase(path):
        return None
    return ask_passphrase(args, out)


def ask_passphrase(args: argparse.Namespace, out: Printer) -> bytes:
    """Give the passphrase from the environment or the service's credential, or ask for it. Raises: UsageError if there is none."""
    text = args.environ.get(PASSPHRASE_VARIABLE) or find_credential(args.environ, PASSPHRASE)
    text = text or (getpass.getpass(out.words(_PASSPHRASE)) if sys.stdin.isatty() else "")
    if not text:
        raise UsageError(
            Text(zh="缺少主密钥口令", en="the passphrase of the master key is missing"),
            hint=Text(
                zh=f"在终端输入，或设环境变量 {PASSPHRASE_VARIABLE}",
                en=f"type it at a terminal, or set {PASSPHRASE_VARIABLE}",
            ),
        )
    return text.encode()


def add_source(parser: Parser) -> None:
    """Add UNIT and SOURCE."""
    parser.add("unit", metavar="UNIT", help=Text(zh="单位编号，如 X013", en="the unit's number, such as X013"))
    parser.add("source", metavar="SOURCE", help=Text(zh="来源，如 his", en="the source, such as his"))


def add_snapshot(parser: Parser) -> None:
    """Add UNIT, SOURCE, N, and `--at`, which stands for N."""
    add_source(parser)
    parser.add("n", metavar="N", nargs="?", help=_N_HELP)
    add_at(parser)


def add_at(parser: Parser) -> None:
    """Add `--at`."""
    parser.add(
        "--at",
        metavar="TIME",
        help=Text(zh="代替 N：显示该时刻状态的最新快照", en="instead of N: the latest snapshot that shows that time"),
    )


def is_snapshot_text(text: str) -> bool:
    """Tell whether `text` can stand for N."""
    return text == LATEST or _NUMBER.fullmatch(text) is not None or _parse_moment(text) is not None


def find_sequence(center: "Center", unit: str, source: str, text: str | None, at: str | None = None) -> int | None:
    """Give the sequence that N or `--at` names, None for the latest. Raises: UsageError, NotFoundError."""
    if (text is None) == (at is None):
        raise UsageError(
            Text(zh="请给出 N 或 --at，二者取一", en="give either N or --at"),
            hint=Text(zh="例如 412、latest、--at 2026-11-22", en="such as 412, latest, or --at 2026-11-22"),
        )
    if text == LATEST:
        return None
    match = None if text is None else _NUMBER.fullmatch(text)
    if match is not None:
        if match[1] not in (None, source):
            raise UsageError(
                Text(zh=f"{text} 不是来源 {source} 的快照", en=f"{text} is no snapshot of source {source}"),
                hint=Text(zh=f"写作 {source}#{match[2]}", en=f"write {source}#{match[2]}"),
            )
        return int(match[2])
    return center.catalog.at_time(unit, source, parse_moment(at or text or "")).sequence


def open_named(center: "Center", args: argparse.Namespace) -> "Snapshot":
    """Open the snapshot that UNIT, SOURCE and N or --at name."""
    sequence = find_sequence(center, args.unit, args.source, args.n, args.at)
    return center.open_snapshot(args.unit, args.source, sequence)


def parse_moment(text: str) -> datetime:
    """Read a time as a person types it; without a zone it is local. Raises: UsageError."""
    moment = _parse_moment(text)
    if moment is None:
        raise UsageError(
            Text(zh=f"{text!r:.60} 不是序号、latest 或时间", en=f"{text!r:.60} is no sequence, `latest` or time"),
            hint=Text(
                zh="时间写作 2026-11-22 或 2026-11-22T08:30，可加 +08:00",
                en="write a time as 2026-11-22 or 2026-11-22T08:30, with +08:00 if it is not local",
            ),
        )
    return moment


def _parse_moment(text: str) -> datetime | None:
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # A naive time is the person's own; `astimezone` takes it so.
    return moment.astimezone()
