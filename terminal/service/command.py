# SPDX-License-Identifier: Apache-2.0
"""The commands `service install | start | stop | status | uninstall` of both sides, over any service manager."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Protocol

from terminal.command import Command, Examples, Parser
from terminal.errors import EXIT_FAILED, EXIT_OK
from terminal.language import Text
from terminal.printer import Printer
from terminal.service.base import Service, ServiceState


class MakeService(Protocol):
    """Make the service of a folder. Raises: OperatorError where this machine cannot have one."""

    def __call__(self, args: argparse.Namespace, out: Printer) -> Service:
        """`args` are the command's: `folder`, `environ`; `user` and `read_any_file` may be there or not."""


def service_commands(program: str, make: MakeService) -> tuple[Command, ...]:
    """Give the five commands of `program`."""
    return (
        _Install(program, make),
        _Act(program, make, _START),
        _Act(program, make, _STOP),
        _Status(program, make),
        _Uninstall(program, make),
    )


class _Install:
    """Make the service."""

    name = "service install"
    help = Text(zh="安装为系统服务", en="make it a service of this machine")
    description = Text(
        zh="写入服务定义，建立服务账户，把数据目录交给它，并设为开机启动；不立即启动。\n"
        "Linux 上是 systemd 单元，需要 root；Windows 上需要管理员。可以重复运行：移动目录、增加来源后再运行一次。",
        en="Writes the service's definition, makes its account, hands the folder over to it, and lets it start with the\n"
        "machine; it is not started yet. A systemd unit on Linux, as root; on Windows as an administrator. May be\n"
        "repeated: run it again when folders have moved or sources were added.",
    )

    def __init__(self, program: str, make: MakeService) -> None:
        self._program = program
        self._make = make
        self.examples = _examples(program, "install")

    def add_arguments(self, parser: Parser) -> None:
        """Add --user and --read-any-file."""
        parser.add(
            "--user",
            metavar="ACCOUNT",
            help=Text(
                zh="运行服务的账户；默认为它自己的账户",
                en="the account that runs the service; by default one of its own",
            ),
        )
        parser.add(
            "--read-any-file",
            action="store_true",
            help=Text(
                zh="只用于 Linux：允许读取本机的任何文件（CAP_DAC_READ_SEARCH），不能写",
                en="Linux only: it may read any file of this machine (CAP_DAC_READ_SEARCH), and write none",
            ),
        )

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Install, and say what comes next."""
        service = self._make(args, out)
        notes = service.install()
        out.say(Text(zh=f"已安装服务 {service.name}", en=f"installed the service {service.name}"))
        for note in notes:
            out.say(note)
        out.say(
            Text(
                zh=f"下一步：`{self._program} service start`，开机时自动启动",
                en=f"Next: `{self._program} service start`; it starts by itself with the machine",
            )
        )
        out.result({"service": service.name, "notes": [out.words(note) for note in notes]})
        return EXIT_OK


class _Verb:
    """What `start` and `stop` do not share."""

    def __init__(self, word: str, help: Text, description: Text, done: Text, act: Callable[[Service], None]) -> None:
        self.word = word
        self.help = help
        self.description = description
        self.done = done
        self.act = act


_START = _Verb(
    "start",
    Text(zh="启动服务", en="start the service"),
    Text(zh="启动服务，等到它报告就绪。", en="Starts the service, and waits until it says that it works."),
    Text(zh="已启动", en="started"),
    lambda service: service.start(),
)
_STOP = _Verb(
    "stop",
    Text(zh="停止服务", en="stop the service"),
    Text(
        zh="停止服务。没有发完的留在发件箱，下次接着发。",
        en="Stops the service. Nothing is lost: what is under way is taken up at the next start.",
    ),
    Text(zh="已停止", en="stopped"),
    lambda service: service.stop(),
)


class _Act:
    """Start or stop."""

    def __init__(self, program: str, make: MakeService, verb: _Verb) -> None:
        self.name = f"service {verb.word}"
        self.help = verb.help
        self.description = verb.description
        self.examples = _examples(program, verb.word)
        self._make = make
        self._verb = verb

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Do it."""
        service = self._make(args, out)
        self._verb.act(service)
        out.say(f"{service.name}: {out.words(self._verb.done)}")
        out.result({"service": service.name, "done": self._verb.word})
        return EXIT_OK


class _Status:
    """Tell how the service is."""

    name = "service status"
    help = Text(zh="服务的状态", en="how the service is")
    description = Text(
        zh="服务管理器所说的状态。正在运行时返回 0，否则返回 1。",
        en="What the service manager says. Exit code 0 if it runs, else 1.",
    )

    def __init__(self, program: str, make: MakeService) -> None:
        self._program = program
        self._make = make
        self.examples = _examples(program, "status")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Ask and tell."""
        state = self._make(args, out).state()
        if not state.is_installed:
            state = replace(state, is_running=False)
            out.say(Text(zh=f"{state.name} 没有安装为服务", en=f"{state.name} is not installed as a service"))
        else:
            out.say(f"{state.name}: {state.state}")
            out.say(_about(state))
        if not state.is_current:
            out.warn(
                Text(
                    zh=f"安装时的服务定义已不合现在的配置：重新运行 `{self._program} service install`",
                    en="what is installed is not what the settings ask for now: "
                    f"run `{self._program} service install` again",
                )
            )
        out.result(asdict(state))
        return EXIT_OK if state.is_running else EXIT_FAILED


def _about(state: ServiceState) -> Text:
    zh = f"账户 {state.account}；{'开机启动' if state.starts_at_boot else '不随开机启动'}"
    en = f"account {state.account}; {'starts' if state.starts_at_boot else 'does not start'} with the machine"
    return Text(zh=zh, en=en)


class _Uninstall:
    """Remove the service, and nothing else."""

    name = "service uninstall"
    help = Text(zh="移除服务，保留密钥与发件箱", en="remove the service; keys and spool stay")
    description = Text(
        zh="停止并移除服务。数据目录（密钥、日志、发件箱、回执）原样保留，并说明在哪里。",
        en="Stops and removes the service. The folder (keys, journal, spool, receipts) stays as it is; it says where.",
    )

    def __init__(self, program: str, make: MakeService) -> None:
        self._make = make
        self.examples = _examples(program, "uninstall")

    def add_arguments(self, parser: Parser) -> None:
        """Nothing of its own."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Remove, and say what stays."""
        service = self._make(args, out)
        kept = service.uninstall()
        out.say(Text(zh=f"已移除服务 {service.name}", en=f"removed the service {service.name}"))
        for path in kept:
            out.say(Text(zh=f"保留：{path}", en=f"kept: {path}"))
        out.result({"service": service.name, "kept": list(kept)})
        return EXIT_OK


def _examples(program: str, verb: str) -> Examples:
    return Examples(sh=f"{program} service {verb}", powershell=f"{program} service {verb}")
