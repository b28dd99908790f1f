# SPDX-License-Identifier: Apache-2.0
"""Run one of several commands: parse its line, call it, and turn every ending into words, JSON and an exit code.

A command is an object with its texts, its arguments and `run`; a `Program` lists commands and knows the options that
all of them share. Two-word names (`unit add`) are groups. Nothing escapes `Program.main`: errors that a person can act
on become one sentence with a hint and a code, anything else becomes JS-0000 with its trace in a file.
"""

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from terminal.account import become_owner
from terminal.complaints import suggest, translate_complaint
from terminal.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PIPE,
    OperatorError,
    SystemRefusedError,
    UnexpectedError,
    UsageError,
    words_of,
)
from terminal.language import Language, Text, choose_language
from terminal.printer import Printer, set_up_streams


class Examples(NamedTuple):
    """The same use of a command in both shells."""

    sh: str
    powershell: str


class Parser(argparse.ArgumentParser):
    """An argument parser that speaks the reader's language and raises `UsageError` instead of leaving the process."""

    def __init__(self, *, language: Language = Language.EN, **options: Any) -> None:  # Any: argparse's own options
        super().__init__(allow_abbrev=False, add_help=False, formatter_class=_formatter(language), **options)
        self.language = language
        self._positionals.title = _ARGUMENTS.into(language)
        self._optionals.title = _OPTIONS.into(language)
        self.add("-h", "--help", action="help", help=Text(zh="显示本说明", en="show this help"))

    def add(self, *names: str, help: Text, **options: Any) -> None:  # Any: argparse's own options
        """Add an argument or option as argparse does, with its help in both languages."""
        self.add_argument(*names, help=help.into(self.language).replace("%", "%%"), **options)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with argparse's complaint in the reader's language."""
        raise UsageError(translate_complaint(message), hint=self.hint())

    def hint(self) -> Text:
        """Say where help is."""
        return Text(zh=f"请看 {self.prog} --help", en=f"see {self.prog} --help")

    def option_names(self) -> list[str]:
        """Give the options, as they are typed."""
        return [name for action in self._actions for name in action.option_strings]


class Command(Protocol):
    """One command. `name` has one word, or two for a command in a group; `help` is one line, `description` teaches."""

    name: str
    help: Text
    description: Text
    examples: Examples

    def add_arguments(self, parser: Parser) -> None:
        """Add this command's own arguments; -C, --json, --lang, --debug and -h are there."""

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        """Do it; give the exit code.

        `args.folder` is the folder (Path) that -C, the environment or the machine names; `args.environ` its
        environment.
        """


@dataclass(frozen=True, slots=True)
class Home:
    """Where a program's folder is if -C does not say: an environment variable, else the machine-wide place.

    Machine-wide and not the user's, because a service account changes (lesson 18).
    """

    variable: str
    posix: str
    windows: str

    def find(self, asked: str | None, environ: Mapping[str, str]) -> Path:
        """Give the folder; it need not exist."""
        named = asked or environ.get(self.variable)
        if named:
            return Path(named)
        if sys.platform == "win32":
            return Path(environ.get("ProgramData", r"C:\ProgramData")) / self.windows
        return Path(self.posix)


@dataclass(frozen=True, slots=True)
class Advice:
    """What a person should do about an error of a foreign tree, and the exit code it gives."""

    hint: Text
    exit_code: int = EXIT_FAILED


def _no_preference(folder: Path) -> Language | None:  # noqa: ARG001 - the form of Program.prefer
    return None


@dataclass(frozen=True, slots=True)
class Program:
    """A named list of commands.

    `others` maps exception classes that are not OperatorErrors but carry `code` and `meaning_zh` (the evidence's) to what a person
    should do about them; the first class that fits counts, so subclasses stand before their roots. `prefer` gives the
    language that a folder's settings name, for when `--lang` does not; it must not raise. `become` turns root into the
    account whose a folder is, and gives its name if it did: for all commands but those that make folders or services.
    """

    name: str
    description: Text
    commands: Sequence[Command]
    home: Home
    version: str
    others: Mapping[type[Exception], Advice] = field(default_factory=dict)
    prefer: Callable[[Path], Language | None] = _no_preference
    become: Callable[[Path], str | None] = become_owner

    def main(self, argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
        """Run what `argv` (else the process's) asks for; give the exit code. Never raises."""
        arguments = list(sys.argv[1:] if argv is None else argv)
        surroundings = os.environ if environ is None else environ
        set_up_streams()
        out = Printer(_language_in(arguments), json_mode=_has_flag(arguments, "--json"))
        folder: Path | None = None
        account: str | None = None
        try:
            args = self._parse(arguments, out.language)
            folder = args.folder = self.home.find(args.folder, surroundings)
            args.environ = surroundings
            account = None if _is_roots(args) else self.become(folder)
            if args.lang is None:
                out.language = self.prefer(folder) or out.language
            command: Command = args.command
            code = command.run(args, out)
            out.close(code)
            return code
        except SystemExit as err:  # argparse leaves so after --help and --version
            return err.code if isinstance(err.code, int) else 0
        except BrokenPipeError:
            _forget_stdout()
            return EXIT_PIPE
        except KeyboardInterrupt:
            return _end_quietly(out)
        except Exception as err:  # noqa: BLE001 - the top of the program: nothing may reach the person as a trace
            return self._refuse(err, out, folder, account, debug=_has_flag(arguments, "--debug"))

    def _parse(self, arguments: Sequence[str], language: Language) -> argparse.Namespace:
        args, unknown = self.parser(language).parse_known_args(arguments)
        if unknown:
            raise _unknown_argument(unknown[0], args.parser)
        return args

    def parser(self, language: Language) -> Parser:
        """Build the parser of all commands in `language`."""
        top = Parser(language=language, prog=self.name, description=self.description.into(language))
        _add_shared(top, suppress=False)
        top.add("--version", action="version", version=f"{self.name} {self.version}", help=_VERSION)
        rooms = top.add_subparsers(metavar=_COMMAND.into(language), title=_COMMANDS.into(language), required=True)
        groups: dict[str, Any] = {}  # Any: argparse's type of the object is private
        alone: dict[str, Parser] = {}
        for command in self.commands:
            group, _, last = command.name.rpartition(" ")
            if group in alone and group not in groups:
                # A group whose name alone is a command too, listed before its members.
                groups[group] = alone[group].add_subparsers(metavar=_COMMAND.into(language), required=False)
            if group and group not in groups:
                members = [each for each in self.commands if each.name.startswith(group + " ")]
                text = "、".join(each.help.zh for each in members), "; ".join(each.help.en for each in members)
                room = rooms.add_parser(group, language=language, help=Text(*text).into(language).replace("%", "%%"))
                groups[group] = room.add_subparsers(metavar=_COMMAND.into(language), required=True)
            alone[command.name] = _add_command(groups.get(group, rooms), last, command, language)
        return top

    def _refuse(self, err: Exception, out: Printer, folder: Path | None, account: str | None, *, debug: bool) -> int:
        if debug:
            traceback.print_exception(err, file=sys.stderr)
        told = self._as_operator_error(err, folder, account)
        try:
            out.refuse(told)
            out.close(told.exit_code)
        except OSError:  # stdout is what failed; stderr or the exit code has told it
            _forget_stdout()
        return told.exit_code

    def _as_operator_error(self, err: Exception, folder: Path | None, account: str | None) -> OperatorError:
        if isinstance(err, OperatorError):
            return err
        for kind, advice in self.others.items():
            if isinstance(err, kind):
                return _Foreign(err, advice)
        if isinstance(err, OSError) and err.strerror:
            return _system_refusal(err, account)
        return _unexpected(err, self.name, folder)


class _Foreign(OperatorError):
    """An error of a tree that does not know this one, with the code and the Chinese meaning that it brings."""

    def __init__(self, err: Exception, advice: Advice) -> None:
        super().__init__(words_of(err), hint=advice.hint)
        self.code = str(getattr(err, "code", OperatorError.code))  # type: ignore[misc]  # the other's, not this class's
        self.exit_code = advice.exit_code  # type: ignore[misc]  # likewise


_ARGUMENTS = Text(zh="参数", en="arguments")
_OPTIONS = Text(zh="选项", en="options")
_COMMAND = Text(zh="命令", en="COMMAND")
_COMMANDS = Text(zh="命令", en="commands")
_USAGE = Text(zh="用法：", en="usage: ")
_VERSION = Text(zh="显示版本", en="show the version")


def _formatter(language: Language) -> type[argparse.HelpFormatter]:
    class Formatter(argparse.RawDescriptionHelpFormatter):
        """Help with the word `usage` in the reader's language."""

        def add_usage(
            self, usage: Any, actions: Any, groups: Any, prefix: str | None = None
        ) -> None:  # Any: as argparse has them
            super().add_usage(usage, actions, groups, _USAGE.into(language) if prefix is None else prefix)

    return Formatter


def _add_shared(parser: Parser, *, suppress: bool) -> None:
    """Add what every command takes, before or after its name; there, an absent option must not undo a given one."""

    def default(value: object) -> object:
        return argparse.SUPPRESS if suppress else value

    parser.add("-C", dest="folder", metavar="DIR", default=default(None), help=_FOLDER_HELP)
    parser.add("--json", action="store_true", default=default(False), help=_JSON_HELP)
    parser.add("--lang", choices=[each.value for each in Language], default=default(None), help=_LANG_HELP)
    parser.add("--debug", action="store_true", default=default(False), help=_DEBUG_HELP)


_FOLDER_HELP = Text(zh="本程序的数据目录", en="the program's folder")
_JSON_HELP = Text(zh="标准输出只给一份 JSON", en="one JSON document on stdout, nothing else")
_LANG_HELP = Text(zh="中文或英文；默认随系统", en="Chinese or English; by default the system's")
_DEBUG_HELP = Text(zh="出错时显示程序的调用轨迹", en="show the program's trace with an error")


def _add_command(
    rooms: Any, name: str, command: Command, language: Language
) -> Parser:  # Any: argparse's type is private
    shells = f"sh:          {command.examples.sh}\n  PowerShell:  {command.examples.powershell}"
    parser: Parser = rooms.add_parser(
        name,
        language=language,
        help=command.help.into(language).replace("%", "%%"),
        description=command.description.into(language).replace("%", "%%"),
        epilog=Text(zh="示例：", en="examples:").into(language) + f"\n  {shells}".replace("%", "%%"),
    )
    _add_shared(parser, suppress=True)
    command.add_arguments(parser)
    parser.set_defaults(command=command, parser=parser)
    return parser


def _unknown_argument(word: str, parser: Parser) -> UsageError:
    near = suggest(word.partition("=")[0], sorted(parser.option_names()))
    return UsageError(
        Text(zh=f"不认识的参数：{word}{near.zh}", en=f"unknown argument: {word}{near.en}"), hint=parser.hint()
    )


def _language_in(arguments: Sequence[str]) -> Language:
    """Find `--lang` before anything is parsed, so that complaints about the line are in it."""
    asked = None
    for this, following in pairwise([*arguments, ""]):
        if this == "--":
            break
        if this == "--lang":
            asked = following
        elif this.startswith("--lang="):
            asked = this.removeprefix("--lang=")
    return choose_language(asked if asked in {each.value for each in Language} else None)


def _has_flag(arguments: Sequence[str], flag: str) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return flag in own


def _end_quietly(out: Printer) -> int:
    out.json_mode = False
    try:
        out.close(EXIT_INTERRUPTED)
    except OSError:
        _forget_stdout()
    return EXIT_INTERRUPTED


def _forget_stdout() -> None:
    """Point stdout at nothing, or the interpreter complains about the broken pipe when it flushes at exit."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)


def _is_roots(args: argparse.Namespace) -> bool:
    """Tell whether a command is one that makes folders, or asks the machine's service manager."""
    return args.command.name.partition(" ")[0] in ("init", "service") or getattr(args, "as_service", False)


def _system_refusal(err: OSError, account: str | None) -> SystemRefusedError:
    """Say what the system refused. `account`: the one that root became."""
    what = f"{err.filename}: " if err.filename is not None else ""
    hint = Text(
        zh="请检查路径、权限和磁盘空间，然后重试",
        en="check that the path is right, that this account may use it and that there is room, then try again",
    )
    if account is not None and isinstance(err, PermissionError):
        hint = Text(
            zh=f"本目录属于账户 {account}，root 的命令也以它运行：换一个它可读写的路径，例如 /tmp 下",
            en=f"the folder is {account}'s, and root's commands run as that account: name a path that it may use, as in /tmp",
        )
    return SystemRefusedError(
        Text(zh=f"操作系统拒绝：{what}{err.strerror}", en=f"the operating system refused: {what}{err.strerror}"),
        hint=hint,
    )


def _unexpected(err: Exception, name: str, folder: Path | None) -> UnexpectedError:
    trace = "".join(traceback.format_exception(err))
    path = _keep_trace(trace, name, folder)
    where = str(path) if path else "--debug"
    return UnexpectedError(
        Text(
            zh=f"程序自身出错（{type(err).__name__}）；数据没有因此丢失",
            en=f"the program itself erred ({type(err).__name__}); nothing is lost by it",
        ),
        hint=Text(zh=f"请把 {where} 交给维护人员", en=f"give {where} to whoever looks after this program"),
    )


def _keep_trace(trace: str, name: str, folder: Path | None) -> Path | None:
    """Write the trace beside the program's data, else among temporary files, for the owner's eyes only."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None or not place.is_dir():
            continue
        path = place / f"{name}-error-{stamp}-{os.getpid()}.txt"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
        return path
    return None
