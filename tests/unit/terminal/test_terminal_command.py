# SPDX-License-Identifier: Apache-2.0
"""Every ending of a command: words, JSON, exit code; the shared options; help in both languages."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from terminal.command import Advice, Examples, Home, Parser, Program
from terminal.errors import OperatorError, SettingsError
from terminal.language import Language, Text
from terminal.printer import Printer

Act = Callable[[argparse.Namespace, Printer], int]


class ForeignError(Exception):
    """Like the errors of evidence: a code, a meaning in Chinese, no hint, no common root."""

    code = "JS-1003"
    meaning_zh = "签名不符"


class Probe:
    """A command that does what the test says."""

    help = Text(zh="试一试", en="try 100% of it")
    description = Text(zh="说明", en="A description with 100% sign.")
    examples = Examples(sh="probe act one", powershell=r"probe.exe act C:\one")

    def __init__(self, act: Act, name: str = "act") -> None:
        self.name = name
        self._act = act

    def add_arguments(self, parser: Parser) -> None:
        parser.add("word", nargs="?", help=Text(zh="词", en="a word, 100% of it"))
        parser.add("--number", type=int, default=0, help=Text(zh="数", en="a number"))
        parser.add("--colour", choices=["red", "green"], help=Text(zh="颜色", en="a colour"))

    def run(self, args: argparse.Namespace, out: Printer) -> int:
        return self._act(args, out)


def _program(
    act: Act,
    *,
    prefer: Callable[[Path], Language | None] = lambda _: None,
    become: Callable[[Path], str | None] = lambda _: None,
) -> Program:
    return Program(
        name="probe",
        description=Text(zh="程序", en="A program."),
        commands=[Probe(act, name) for name in ("act", "init", "service install", "thing add", "thing list")],
        home=Home("PROBE_DIR", "/var/lib/probe", r"Probe\here"),
        version="1.2",
        others={ForeignError: Advice(Text(zh="问问", en="ask somebody"), exit_code=2)},
        prefer=prefer,
        become=become,
    )


def _raise(err: BaseException) -> Act:
    def act(args: argparse.Namespace, out: Printer) -> int:
        raise err

    return act


def _give(code: int) -> Act:
    return lambda _args, _out: code


def test_exit_code_of_the_command_is_the_programs() -> None:
    assert _program(_give(7)).main(["act"]) == 7


def test_folder_is_asked_then_environment_then_machine_wide(tmp_path: Path) -> None:
    seen: list[Path] = []

    def act(args: argparse.Namespace, out: Printer) -> int:
        seen.append(args.folder)
        return 0

    program = _program(act)
    program.main(["-C", "asked", "act"], environ={"PROBE_DIR": "named"})
    program.main(["act", "-C", "asked"], environ={"PROBE_DIR": "named"})
    program.main(["act"], environ={"PROBE_DIR": "named"})
    program.main(["act"], environ={})
    assert seen == [Path("asked"), Path("asked"), Path("named"), Path("/var/lib/probe")]


def test_shared_options_count_before_and_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    program = _program(lambda args, out: out.result({"word": args.word}) or 0)
    for line in (["--json", "act", "x"], ["act", "--json", "x"], ["act", "x", "--json"]):
        assert program.main(line) == 0
        assert json.loads(capsys.readouterr().out) == {"word": "x"}


def test_json_stands_alone_on_stdout_even_if_the_command_talks(capsys: pytest.CaptureFixture[str]) -> None:
    def act(args: argparse.Namespace, out: Printer) -> int:
        out.say("hello")
        out.table(["A"], [[1]])
        out.result({"done": True})
        return 0

    _program(act).main(["act", "--json"])
    assert json.loads(capsys.readouterr().out) == {"done": True}


def test_command_without_a_document_still_gives_one_in_json_mode(capsys: pytest.CaptureFixture[str]) -> None:
    _program(_give(2)).main(["act", "--json"])
    assert json.loads(capsys.readouterr().out) == {"exit_code": 2}


def test_words_after_two_dashes_are_not_options(capsys: pytest.CaptureFixture[str]) -> None:
    program = _program(lambda args, out: out.say(args.word) or 0)
    assert program.main(["act", "--", "--json"]) == 0
    assert capsys.readouterr().out == "--json\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "missing: COMMAND"),
        (["atc"], "there is no atc (did you mean act?)"),
        (["thing"], "missing: COMMAND"),
        (["thing", "ad"], "there is no ad (did you mean add?)"),
        (["act", "one", "two"], "unknown argument: two"),
        (["act", "--nubmer", "3"], "unknown argument: --nubmer (did you mean --number?)"),
        (["act", "--numb=3"], "unknown argument: --numb=3 (did you mean --number?)"),
        (["act", "--number"], "--number: a value must follow"),
        (["act", "--number", "x"], "--number: expected a whole number, found 'x'"),
        (["act", "--colour", "gren"], "--colour: there is no gren (did you mean green?); there are: red, green"),
        (["act", "--json=yes"], "--json: takes no value, found 'yes'"),
        (["act", "--lang", "fr"], "--lang: there is no fr; there are: zh, en"),
    ],
)
def test_wrong_usage_exits_64_and_says_what_was_meant(
    line: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _program(_give(0)).main(line, environ={}) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error JS-0064: ")
    assert said in captured.err
    assert "What to do: see probe" in captured.err


def test_wrong_usage_is_told_in_chinese_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert _program(_give(0)).main(["act", "--number", "x", "--lang", "zh"]) == 64
    assert capsys.readouterr().err == "错误 JS-0064: --number：应为整数，得到 'x'\n怎么办：请看 probe act --help\n"


def test_operator_error_is_a_sentence_a_hint_and_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    err = SettingsError("the file is wrong", hint="mend it")
    assert _program(_raise(err)).main(["act"]) == 64
    captured = capsys.readouterr()
    assert captured.err == "Error JS-0065: the file is wrong\nWhat to do: mend it\n"
    assert captured.out == ""


def test_error_in_both_languages_is_told_in_the_readers(capsys: pytest.CaptureFixture[str]) -> None:
    err = OperatorError(Text(zh="坏了", en="broken"), hint=Text(zh="修好", en="mend it"))
    assert _program(_raise(err)).main(["act", "--lang", "zh"]) == 1
    assert capsys.readouterr().err == "错误 JS-0001: 坏了\n怎么办：修好\n"
    assert (str(err), err.hint) == ("broken", "mend it")


def test_error_in_json_mode_is_a_document_and_still_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    _program(_raise(OperatorError("broken", hint="mend it"))).main(["act", "--json"])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"error": {"code": "JS-0001", "message": "broken", "hint": "mend it"}}
    assert captured.err == "Error JS-0001: broken\nWhat to do: mend it\n"


def test_error_after_streamed_lines_is_one_more_line(capsys: pytest.CaptureFixture[str]) -> None:
    def act(args: argparse.Namespace, out: Printer) -> int:
        out.record({"row": 1})
        raise OperatorError("broken", hint="")

    _program(act).main(["act", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"row": 1}, {"error": {"code": "JS-0001", "message": "broken", "hint": ""}}]


def test_error_of_another_tree_keeps_its_code_and_gets_the_hint_given_for_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _program(_raise(ForeignError("a signature does not verify"))).main(["act"]) == 2
    assert capsys.readouterr().err == "Error JS-1003: a signature does not verify\nWhat to do: ask somebody\n"
    assert _program(_raise(ForeignError("a signature does not verify"))).main(["act", "--lang", "zh"]) == 2
    assert capsys.readouterr().err == "错误 JS-1003: 签名不符：a signature does not verify\n怎么办：问问\n"


def test_refusal_of_the_system_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def act(args: argparse.Namespace, out: Printer) -> int:
        (tmp_path / "absent").read_bytes()
        return 0

    assert _program(act).main(["act"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error JS-0002: the operating system refused: ")
    assert "absent: No such file or directory" in said


def test_unexpected_error_leaves_its_trace_in_a_private_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _program(_raise(KeyError("secret value"))).main(["act", "-C", str(tmp_path)]) == 70
    said = capsys.readouterr().err
    (trace,) = tmp_path.iterdir()
    assert said.startswith("Error JS-0000: ")
    assert str(trace) in said
    assert "Traceback" not in said
    assert "secret value" not in said
    assert "KeyError" in trace.read_text()
    if os.name == "posix":
        assert trace.stat().st_mode & 0o777 == 0o600


def test_debug_shows_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _program(_raise(KeyError("x"))).main(["act", "--debug", "-C", str(tmp_path)])
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_exits_130_without_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert _program(_raise(KeyboardInterrupt())).main(["act", "--json"]) == 130
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_language_of_the_settings_counts_unless_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    program = _program(lambda _, out: out.say(Text(zh="好", en="good")) or 0, prefer=lambda _: Language.ZH)
    program.main(["act"], environ={})
    program.main(["act", "--lang", "en"], environ={})
    assert capsys.readouterr().out == "好\ngood\n"


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("command", [["act"], ["thing", "add"]])
def test_help_teaches_with_an_example_for_each_shell(
    command: list[str], language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _program(_give(1)).main([*command, "--help", "--lang", language]) == 0
    said = capsys.readouterr().out
    for word in ("probe act one", r"probe.exe act C:\one", "--json", "--lang", "-C DIR", "--number"):
        assert word in said
    assert ("用法" in said) == (language == "zh")
    assert ("100% of it" in said) == (language == "en")


def test_help_of_the_program_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert _program(_give(1)).main(["--help"]) == 0
    said = capsys.readouterr().out
    assert "act" in said
    assert "thing" in said


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert _program(_give(1)).main(["--version"]) == 0
    assert capsys.readouterr().out == "probe 1.2\n"


_CHATTERBOX = """
import sys
from terminal.command import Examples, Home, Program
from terminal.language import Text
class Talk:
    name = "talk"; help = description = Text("", ""); examples = Examples("", "")
    def add_arguments(self, parser): pass
    def run(self, args, out):
        for number in range(100_000):
            out.say(f"line {number} " + chr(0x4e2d))
        return 0
sys.exit(Program("p", Text("", ""), [Talk()], Home("P", "/", "p"), "1").main())
"""


@pytest.mark.skipif(os.name != "posix", reason="sh")
def test_reader_that_goes_away_ends_the_command_without_a_word() -> None:
    line = f"{sys.executable} -c '{_CHATTERBOX}' talk; echo code $? >&2"
    done = subprocess.run(["sh", "-c", f"({line}) | head -1"], capture_output=True, text=True, timeout=60)
    assert done.stdout == "line 0 中\n"
    assert done.stderr == "code 141\n"


def test_output_is_utf8_whatever_the_locale_says() -> None:
    environ = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", _CHATTERBOX, "talk"], capture_output=True, env=environ, timeout=60)
    assert done.returncode == 0
    assert "line 99999 中\n".encode() in done.stdout


class Plain(Probe):
    """A command without words of its own, whose name is a group's too."""

    def add_arguments(self, parser: Parser) -> None:
        parser.add("--all", action="store_true", help=Text(zh="全部", en="all"))


def test_a_group_whose_name_alone_is_a_command_is_both(capsys: pytest.CaptureFixture[str]) -> None:
    def told(name: str) -> Act:
        return lambda args, out: out.result({"ran": name, "json": args.json}) or 0

    program = Program(
        name="probe",
        description=Text(zh="程序", en="A program."),
        commands=[
            Plain(told("things"), "things"),
            Probe(told("add"), "things add"),
            Probe(told("list"), "things list"),
        ],
        home=Home("PROBE_DIR", "/var/lib/probe", r"Probe\here"),
        version="1.2",
    )
    for line, ran in (
        (["things"], "things"), (["things", "--all"], "things"), (["things", "add", "x"], "add"), (["things", "list"], "list"),
    ):  # fmt: skip
        assert program.main([*line, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"ran": ran, "json": True}
    assert program.main(["things", "nothing"]) == 64
    assert program.main(["things", "add", "--help"]) == 0
    assert "number" in capsys.readouterr().out


def test_commands_become_the_folders_account_but_for_those_that_make_folders_and_services(tmp_path: Path) -> None:
    acts: list[str] = []

    def become(folder: Path) -> str | None:
        acts.append(f"become the owner of {folder.name}")
        return "jinsuo"

    def act(args: argparse.Namespace, out: Printer) -> int:
        acts.append(args.command.name)
        return 0

    for words in (["act"], ["init"], ["service", "install"], ["thing", "add"]):
        _program(act, become=become).main(["-C", str(tmp_path / "own"), *words])
    own = "become the owner of own"
    assert acts == [own, "act", "init", "service install", own, "thing add"]


@pytest.mark.parametrize(("account", "words"), [("jinsuo", "root's commands run as that account"), (None, "try again")])
def test_who_may_not_use_a_path_is_told_as_whom_the_command_ran(
    account: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = _raise(PermissionError(13, "Permission denied", "/srv/letter"))
    assert _program(refused, become=lambda _: account).main(["act", "--lang", "en"]) == 1
    told = capsys.readouterr().err
    assert "/srv/letter" in told and words in told
