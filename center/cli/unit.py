# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-center unit add|list|show|disable|enable|rekey`: who may send."""

import argparse
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from center.cli.opening import open_center
from evidence.disk import write_new, write_over
from evidence.wire.enrolment import EnrolmentCode, encode_code_file
from evidence.wire.offline import MAX_REQUEST_BYTES
from terminal.command import Examples, Parser
from terminal.errors import EXIT_OK, UsageError
from terminal.language import Text
from terminal.printer import Printer

if TYPE_CHECKING:
    from center.registry.units import Unit

_DAYS = 14
_MOST_DAYS = 366


class UnitAdd:
    """Add a unit."""

    name = "unit add"
    help = Text(zh="登记一个单位，给出一次性登记码", en="add a unit and print its one-time enrolment code")
    description = Text(
        zh="单位编号（全宗号）登记后不可更改。登记码只显示这一次，中心只留其摘要；请当面或密封交给单位，\n"
        "在采集端用 jinsuo-agent enroll 输入。--out 另存为文件。",
        en="The unit's number is for ever. The code is shown this once (the center keeps only its hash): hand it over\n"
        "in person or sealed; the agent takes it with `jinsuo-agent enroll`. --out writes it to a file instead.",
    )
    examples = Examples(
        sh="jinsuo-center unit add X013 --name 第一人民医院 --out X013.code",
        powershell="jinsuo-center unit add X013 --name 第一人民医院 --days 30",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, --name, --out, --days."""
        _add_unit(parser)
        parser.add("--name", required=True, metavar="NAME", help=Text(zh="单位名称", en="the unit's name"))
        _add_code_options(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Add it."""
        _check_code_options(args)
        with open_center(args, out) as center:
            code = center.units.add(args.unit, args.name, by=account(), lifetime=timedelta(days=args.days))
        _give_code(args, code, out)
        return EXIT_OK


class UnitRekey:
    """Give a unit a new code."""

    name = "unit rekey"
    help = Text(zh="密钥遗失或换机时给出新登记码", en="a new enrolment code for a unit whose agent has lost its keys")
    description = Text(
        zh="新采集端登记前旧密钥仍有效；旧密钥落入他人之手时请先 unit disable。以前未用的登记码作废。",
        en="The old keys count until the new agent is enrolled: `unit disable` first if they are in wrong hands.\n"
        "Codes that were given before and not used are void.",
    )
    examples = Examples(sh="jinsuo-center unit rekey X013", powershell="jinsuo-center unit rekey X013 --out X013.code")

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, --out, --days."""
        _add_unit(parser)
        _add_code_options(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Give it."""
        _check_code_options(args)
        with open_center(args, out) as center:
            code = center.units.rekey(args.unit, by=account(), lifetime=timedelta(days=args.days))
        _give_code(args, code, out)
        return EXIT_OK


class UnitEnrollFile:
    """Enrol an agent that no line leads to."""

    name = "unit enroll-file"
    help = Text(zh="为没有线路的采集端办理登记", en="enrol an agent that no line leads to, by two files")
    description = Text(
        zh="读入采集端用 jinsuo-agent enroll --request 写出的文件，核对登记码后办理登记，写出答复文件；\n"
        "答复带回采集端，用 jinsuo-agent enroll --answer 读入。两个文件中都没有登记码本身。",
        en="Reads the file that `jinsuo-agent enroll --request` wrote, checks it against the code, enrols the agent and writes\n"
        "an answer, which goes back to it: `jinsuo-agent enroll --answer`. Neither file holds the code itself.",
    )
    examples = Examples(
        sh="jinsuo-center unit enroll-file X013.request --out X013.answer",
        powershell="jinsuo-center unit enroll-file X013.request --out X013.answer",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add FILE and --out."""
        parser.add("file", metavar="FILE", help=Text(zh="采集端的申请文件", en="the agent's request"))
        parser.add("--out", required=True, metavar="FILE", help=Text(zh="答复写到哪里", en="where the answer goes"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Enrol it."""
        target = Path(args.out)
        with Path(args.file).open("rb") as file:
            raw = file.read(MAX_REQUEST_BYTES + 1)
        with open_center(args, out) as center:
            unit, answer = center.enroll_by_file(raw)
        write_over(target, answer)
        out.say(
            Text(
                zh=f"{unit.unit}（{unit.name}）已登记；把 {target} 带回采集端",
                en=f"{unit.unit} ({unit.name}) is enrolled; bring {target} back to the agent",
            )
        )
        out.result({"unit": unit.unit, "name": unit.name, "answer": str(target), "sources": list(unit.sources)})
        return EXIT_OK


class UnitList:
    """List units."""

    name = "unit list"
    help = Text(zh="列出各单位", en="list the units")
    description = Text(
        zh="每个单位一行：编号、名称、状态、登记时间、来源。",
        en="A line a unit: number, name, state, since when, sources.",
    )
    examples = Examples(sh="jinsuo-center unit list", powershell="jinsuo-center unit list --json | ConvertFrom-Json")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """List them."""
        with open_center(args, out) as center:
            units = center.units.list()
        out.table(
            [
                Text(zh="单位", en="UNIT"), Text(zh="名称", en="NAME"), Text(zh="状态", en="STATE"),
                Text(zh="登记于", en="ENROLLED"), Text(zh="来源", en="SOURCES"),
            ],
            [[u.unit, u.name, _state(u), u.enrolled_at, " ".join(u.sources) or None] for u in units],
        )  # fmt: skip
        out.result({"units": [_describe(unit) for unit in units]})
        return EXIT_OK


class UnitShow:
    """Show one unit."""

    name = "unit show"
    help = Text(zh="显示一个单位的密钥与来源", en="show a unit's keys and sources")
    description = Text(
        zh="包括以前用过的密钥和起始时间。", en="With the keys that it had before, and since when each counts."
    )
    examples = Examples(sh="jinsuo-center unit show X013", powershell="jinsuo-center unit show X013")

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT."""
        _add_unit(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Show it."""
        with open_center(args, out) as center:
            unit = center.units.get(args.unit)
            latest = {source: center.catalog.latest(unit.unit, source) for source in unit.sources}
        out.say(
            Text(zh=f"{unit.unit} {unit.name}：{_state(unit).zh}", en=f"{unit.unit} {unit.name}: {_state(unit).en}")
        )
        for pair in unit.keys:
            since = out.time(pair.since)
            out.say(Text(zh=f"密钥，自 {since}：", en=f"keys since {since}:"))
            out.say(f"  {pair.statement.vkey}\n  {pair.cosigner.vkey}")
        if unit.last_checkpoint_size is not None:
            size = unit.last_checkpoint_size
            out.say(Text(zh=f"最近确认的检查点：{size} 条", en=f"newest checkpoint that it has seen: {size} entries"))
        rows = list(latest.items())
        out.table(
            [Text(zh="来源", en="SOURCE"), Text(zh="最近", en="NEWEST"), Text(zh="收到", en="RECEIVED")],
            [[s, None if r is None else f"{s}#{r.sequence}", None if r is None else r.received] for s, r in rows],
        )
        out.result(_describe(unit))
        return EXIT_OK


class UnitDisable:
    """Stop taking requests from a unit."""

    name = "unit disable"
    help = Text(zh="停止接收一个单位的请求", en="take no more requests from a unit")
    description = Text(
        zh="已入库的内容不受影响。用 unit enable 恢复。记入日志。",
        en="What it has sent stays. `unit enable` undoes it. Logged.",
    )
    examples = Examples(
        sh="jinsuo-center unit disable X013 --reason 密钥泄露",
        powershell="jinsuo-center unit disable X013 --reason leak",
    )

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, --reason."""
        _add_unit(parser)
        _add_reason(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Disable it."""
        with open_center(args, out) as center:
            center.units.disable(args.unit, by=account(), reason=args.reason)
        out.say(Text(zh=f"已停止接收 {args.unit}", en=f"{args.unit} is disabled"))
        out.result({"unit": args.unit, "disabled": True})
        return EXIT_OK


class UnitEnable:
    """Take requests from a unit again."""

    name = "unit enable"
    help = Text(zh="恢复接收一个单位的请求", en="take requests from a unit again")
    description = Text(zh="撤销 unit disable。记入日志。", en="Undoes `unit disable`. Logged.")
    examples = Examples(sh="jinsuo-center unit enable X013", powershell="jinsuo-center unit enable X013")

    def add_arguments(self, parser: Parser) -> None:
        """Add UNIT, --reason."""
        _add_unit(parser)
        _add_reason(parser)

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Enable it."""
        with open_center(args, out) as center:
            center.units.enable(args.unit, by=account(), reason=args.reason)
        out.say(Text(zh=f"已恢复接收 {args.unit}", en=f"{args.unit} is enabled"))
        out.result({"unit": args.unit, "disabled": False})
        return EXIT_OK


def _add_unit(parser: Parser) -> None:
    parser.add("unit", metavar="UNIT", help=Text(zh="单位编号，如 X013", en="the unit's number, such as X013"))


def _add_reason(parser: Parser) -> None:
    parser.add("--reason", default="by order", metavar="TEXT", help=Text(zh="原因，记入日志", en="why; it is logged"))


def _add_code_options(parser: Parser) -> None:
    parser.add(
        "--out", metavar="FILE", help=Text(zh="把登记码写入文件，不显示", en="write the code to a file, show nothing")
    )
    parser.add(
        "--days",
        type=int,
        default=_DAYS,
        metavar="DAYS",
        help=Text(zh=f"登记码的有效天数；默认 {_DAYS}", en=f"days that the code lasts; {_DAYS} by default"),
    )


def _check_code_options(args: argparse.Namespace) -> None:
    """Raises: UsageError before anything is logged."""
    if not 1 <= args.days <= _MOST_DAYS:
        raise UsageError(
            Text(
                zh=f"--days：应为 1 至 {_MOST_DAYS}，得到 {args.days}",
                en=f"--days: expected 1 to {_MOST_DAYS}, found {args.days}",
            ),
            hint=Text(zh="例如 --days 14", en="such as --days 14"),
        )
    if args.out is not None and Path(args.out).exists():
        raise UsageError(
            Text(zh=f"文件 {args.out} 已存在", en=f"the file {args.out} exists"),
            hint=Text(zh="换一个文件名", en="name another file"),
        )


def _give_code(args: argparse.Namespace, code: EnrolmentCode, out: Printer) -> None:
    days = args.days
    if args.out is not None:
        write_new(Path(args.out), encode_code_file(code), mode=0o600)
        out.say(
            Text(zh=f"登记码已写入 {args.out}，{days} 天内有效", en=f"the code is in {args.out}; it lasts {days} days")
        )
        out.result({"unit": args.unit, "file": Path(args.out), "days": days})
        return
    out.say(
        Text(
            zh=f"{args.unit} 的登记码，{days} 天内有效，只显示这一次：",
            en=f"{args.unit}'s code, for {days} days, shown once:",
        )
    )
    out.say(code.encode())
    out.result({"unit": args.unit, "code": code.encode(), "days": days})


def _state(unit: "Unit") -> Text:
    if unit.disabled:
        return Text(zh="已停用", en="disabled")
    return Text(zh="待登记", en="not enrolled yet") if unit.enrolled_at is None else Text(zh="正常", en="enrolled")


def _describe(unit: "Unit") -> dict[str, object]:
    return {
        "unit": unit.unit,
        "name": unit.name,
        "disabled": unit.disabled,
        "enrolled_at": unit.enrolled_at,
        "statement_key": None if unit.statement_key is None else unit.statement_key.vkey,
        "cosigner_key": None if unit.cosigner_key is None else unit.cosigner_key.vkey,
        "keys": [{"statement": p.statement.vkey, "cosigner": p.cosigner.vkey, "since": p.since} for p in unit.keys],
        "sources": list(unit.sources),
        "last_checkpoint_size": unit.last_checkpoint_size,
    }


def account() -> str:
    """Name the account of this machine that acts, for the log."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown account"
