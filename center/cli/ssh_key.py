# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center ssh-key add|list|remove`: which agents may come through the center's SSH server."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from center.cli.opening import open_center
from center.cli.unit import account
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer

if TYPE_CHECKING:
    from center.app import Center
    from center.registry.sshkeys import AuthorizedKeys

_DEFAULT: Final = "ssh/authorized_keys"
_MOST_BYTES: Final = 64 << 10
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class SshKeyAdd:
    """Let a unit's agent come by SSH."""

    name = "ssh-key add"
    help = Text(zh="准许一个单位的采集端经 SSH 连到中心", en="let a unit's agent reach the center by SSH")
    description = Text(
        zh="在 authorized_keys 中写入一行：此密钥只能连到中心的端口，不能登录、执行、传文件或连到别处。\n"
        "每个单位一把密钥，新的取代旧的。记入日志。sshd 需要的设置见手册“到中心的线路”。",
        en="Writes a line of authorized_keys: the key leads to the center's port, and to no login, command, file or other\n"
        "place. A unit has one key; a new one takes the old one's place. Logged. For what sshd needs see the handbook,\n"
        '"Roads".',
    )
    examples = Examples(
        sh="jinsuo-center ssh-key add X013 --key X013.pub",
        powershell="jinsuo-center ssh-key add X013 --key X013.pub --to 127.0.0.1:8443",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, --key, --to, --file."""
        _add_unit(parser)
        parser.add(
            "--key",
            required=True,
            metavar="FILE",
            help=Text(
                zh="`jinsuo-agent ssh-key` 打印的公钥；- 从标准输入读",
                en="the line that `jinsuo-agent ssh-key` prints; -: from stdin",
            ),
        )
        parser.add(
            "--to",
            metavar="HOST:PORT",
            help=Text(
                zh="准许连到的地址；默认为 center.yaml 的 listen（所有地址则为本机）",
                en="where it may lead; by default `listen` of center.yaml, on this machine if that is all addresses",
            ),
        )
        _add_file(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Add it."""
        from center.registry.sshkeys import Change, parse_public_key

        key = parse_public_key(_read_key(args.key))
        with open_center(args, out) as center:
            center.units.get(args.unit)
            target = _find_target(args.to, center)
            path, keys = _open_keys(args, center)
            change = keys.add(args.unit, key, target, by=account())
        words = {
            Change.ADDED: Text(zh="已加入", en="added"),
            Change.REPLACED: Text(zh="已取代原来的密钥", en="in the place of the old one"),
            Change.UNCHANGED: Text(zh="早已如此", en="there already"),
        }[change]
        out.say(
            Text(
                zh=f"{args.unit} 的密钥 {key.fingerprint}：{words.zh}，在 {path}",
                en=f"{args.unit}'s key {key.fingerprint}: {words.en}, in {path}",
            )
        )
        out.say(Text(zh=f"采集端的 road.ssh.forward：{target}", en=f"`road.ssh.forward` of that agent: {target}"))
        out.result(
            {"unit": args.unit, "fingerprint": key.fingerprint, "to": target, "file": path, "change": change.value}
        )
        return EXIT_OK


class SshKeyList:
    """List which agents may come by SSH."""

    name = "ssh-key list"
    help = Text(zh="列出可经 SSH 连到中心的采集端", en="list the agents that may come by SSH")
    description = Text(
        zh="每个单位一行：密钥指纹、准许的地址、该行是否原样。",
        en="A line a unit: fingerprint, where it leads, whether the line is unaltered.",
    )
    examples = Examples(
        sh="jinsuo-center ssh-key list", powershell="jinsuo-center ssh-key list --json | ConvertFrom-Json"
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add --file."""
        _add_file(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """List them."""
        with open_center(args, out) as center:
            path, keys = _open_keys(args, center)
            found = keys.units()
        rows: list[dict[str, object]] = [
            {
                "unit": one.unit,
                "fingerprint": one.key.fingerprint if one.key.text else None,
                "to": one.target or None,
                "altered": not one.is_whole,
            }
            for one in found
        ]
        altered, fine = Text(zh="被改动", en="ALTERED"), Text(zh="原样", en="as written")
        out.table(
            [
                Text(zh="单位", en="UNIT"), Text(zh="指纹", en="FINGERPRINT"), Text(zh="连到", en="LEADS TO"),
                Text(zh="该行", en="LINE"),
            ],
            [
                [one.unit, one.key.fingerprint if one.key.text else None, one.target or None, fine if one.is_whole else altered]
                for one in found
            ],
        )  # fmt: skip
        out.result({"file": path, "keys": rows})
        return EXIT_OK


class SshKeyRemove:
    """Let a unit's agent come by SSH no more."""

    name = "ssh-key remove"
    help = Text(zh="不再准许一个单位的采集端经 SSH 连来", en="let a unit's agent come by SSH no more")
    description = Text(
        zh="从 authorized_keys 中删去该单位的行，记入日志。已建立的 SSH 会话不会中断；\n"
        "要立即停止接收该单位的请求，用 jinsuo-center unit disable。",
        en="Takes the unit's line out of authorized_keys. Logged. Sessions that stand are not ended: to take no more\n"
        "requests from the unit at once, `jinsuo-center unit disable`.",
    )
    examples = Examples(sh="jinsuo-center ssh-key remove X013", powershell="jinsuo-center ssh-key remove X013")

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, --file."""
        _add_unit(parser)
        _add_file(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Remove it."""
        with open_center(args, out) as center:
            path, keys = _open_keys(args, center)
            is_gone = keys.remove(args.unit, by=account())
        out.say(
            Text(zh=f"{args.unit} 的密钥已删去", en=f"{args.unit}'s key is removed")
            if is_gone
            else Text(zh=f"{path} 中没有 {args.unit} 的密钥", en=f"{path} has no key of {args.unit}")
        )
        out.result({"unit": args.unit, "file": path, "removed": is_gone})
        return EXIT_OK


def _add_unit(parser: Parser) -> None:
    parser.add("unit", metavar="UNIT", help=Text(zh="单位编号，如 X013", en="the unit's number, such as X013"))


def _add_file(parser: Parser) -> None:
    parser.add(
        "--file",
        metavar="PATH",
        help=Text(
            zh=f"sshd 读的 authorized_keys；默认为中心目录中的 {_DEFAULT}",
            en=f"the authorized_keys that sshd reads; by default {_DEFAULT} in the center's folder",
        ),
    )


def _open_keys(args: argparse.Namespace, center: "Center") -> "tuple[Path, AuthorizedKeys]":
    from center.registry.sshkeys import AuthorizedKeys

    path = Path(args.file) if args.file is not None else center.folder / _DEFAULT
    return path, AuthorizedKeys(path, center.record)


def _read_key(name: str) -> str:
    if name == "-":
        return sys.stdin.read(_MOST_BYTES)
    with Path(name).open("rb") as file:
        raw = file.read(_MOST_BYTES)
    # What PowerShell's `>` writes is UTF-16.
    return raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig", "replace")


def _find_target(text: str | None, center: "Center") -> str:
    """Give where the key may lead. Raises: UsageError."""
    from center.config import parse_listen

    try:
        host, port = parse_listen(text or center.config.listen)
    except ValueError:
        host, port = "", 0
    if not port:
        raise UsageError(
            Text(
                zh=f"{text or center.config.listen} 不是密钥可以连到的地址",
                en=f"{text or center.config.listen} is no address that a key could lead to",
            ),
            hint=Text(zh="例如 --to 127.0.0.1:8443", en="such as --to 127.0.0.1:8443"),
        )
    host = _EVERYWHERE.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
