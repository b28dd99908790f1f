# SPDX-License-Identifier: Apache-2.0
"""docs/operate.md says what the programs do: every error code, every exit code, every command."""

import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent
import center
import evidence
import terminal
from agent.cli.main import make_program as make_agent_program
from center.alerts.alert import Kind
from center.cli.main import make_program as make_center_program
from center.settings.alerts import AlertSettings
from evidence.errors import EvidenceError
from terminal import errors
from terminal.errors import OperatorError, UsageError
from terminal.language import Language
from tests.fakes.agent import NOW, FakeAgent

ROOT = Path(__file__).parents[2]
HANDBOOK = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
CHINESE_HANDBOOK = (ROOT / "docs" / "operate.zh-CN.md").read_text(encoding="utf-8")


def _load_everything() -> None:
    for package in (agent, center, evidence, terminal):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)


def _below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _below(each)


def _codes() -> dict[str, set[str]]:
    """Give every code, with the names of the classes that state it as their own."""
    _load_everything()
    found: dict[str, set[str]] = {}
    for kind in {*_below(OperatorError), *_below(EvidenceError)}:
        if kind.__module__.partition(".")[0] in ("agent", "center", "evidence", "terminal") and "code" in vars(kind):
            found.setdefault(str(vars(kind)["code"]), set()).add(f"{kind.__module__}.{kind.__name__}")
    return found


def test_every_error_code_of_all_four_trees_stands_in_the_handbook_once() -> None:
    rows = re.findall(r"^\| (JS-\d{4}) \|", HANDBOOK, re.MULTILINE)
    assert len(rows) == len(set(rows)), "a code has two rows"
    codes = _codes()
    assert len(codes) > 30
    assert sorted(set(codes) - set(rows)) == [], "codes that the handbook does not explain"
    assert sorted(set(rows) - set(codes) - {"JS-0003"}) == [], "rows of codes that no error has (JS-0003: the demo's)"


def test_no_two_errors_share_a_code() -> None:
    assert {code: names for code, names in _codes().items() if len(names) > 1} == {}


def test_codes_can_be_read_over_a_phone_and_tell_the_side() -> None:
    sides = {"terminal": "0", "evidence": "1", "agent": "2", "center": "3"}
    for code, names in _codes().items():
        assert re.fullmatch(r"JS-\d{4}", code), code
        for name in names:
            assert code[3] == sides[name.partition(".")[0]], name


def test_every_exit_code_stands_in_the_handbook() -> None:
    rows = set(re.findall(r"^\| (\d{1,3}) \|", HANDBOOK, re.MULTILINE))
    codes = {str(value) for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert rows == codes


def test_every_command_of_the_agent_stands_in_the_handbook() -> None:
    for command in make_agent_program(FakeAgent().open, lambda: NOW).commands:
        name = command.name.split()[0]
        assert f"jinsuo-agent {name}" in HANDBOOK or f"`{command.name}" in HANDBOOK, command.name


def test_every_command_of_the_center_stands_in_the_handbook() -> None:
    missing = [
        command.name
        for command in make_center_program().commands
        if f"jinsuo-center {command.name}" not in HANDBOOK and f"`{command.name}" not in HANDBOOK
    ]
    assert [name for name in missing if name.partition(" ")[0] in ("alerts", "today", "report")] == []


def _called(text: str) -> Iterator[tuple[str, bool]]:
    """Give each call of the agent's or the center's program, without comment and redirection; and whether it is a mention."""
    for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            found = re.match(r"(?:\$ |[\d* ]+jinsuo-agent +)?(?:sudo )?(jinsuo-(?:agent|center) .*)", line)
            if found is not None:
                yield re.split(r"\s{2,}#|\s>+ ", found[1].replace("[--all]", "--all"))[0], False
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for code in re.findall(r"`(jinsuo-(?:agent|center) [^`]+)`", prose):
        call, _, others = " ".join(re.split(r"\s>+ ", code)[0].split()).partition(" | ")
        for word in (call, *(f"{call.rpartition(' ')[0]} {other}" for other in others.split(" | ") if other)):
            yield word, True


@pytest.mark.parametrize("page", ["operate.md", "operate.zh-CN.md"])
def test_every_call_in_the_handbook_is_one_that_the_programs_take(page: str) -> None:
    """A mention without options may leave arguments out; none names a command, option or argument that is not there."""
    programs = {
        "jinsuo-agent": make_agent_program(FakeAgent().open, lambda: NOW),
        "jinsuo-center": make_center_program(),
    }
    calls = list(_called((ROOT / "docs" / page).read_text(encoding="utf-8")))
    assert len(calls) > 120
    refused: list[str] = []
    for call, is_mention in calls:
        name, *words = shlex.split(call)
        try:
            programs[name]._parse(words, Language.EN)
        except UsageError as err:
            if " --" in call or not (is_mention and str(err).startswith("missing: ")):
                refused.append(f"{call}: {err}")
    assert refused == []


def test_chapters_that_chinese_texts_name_are_those_of_the_chinese_handbook() -> None:
    titles = re.findall(r"^#+ (.+)$|^\*\*(.+?)\*\*", CHINESE_HANDBOOK, re.MULTILINE)
    texts = [path for room in ("agent", "center") for path in (ROOT / room).rglob("*.py")]
    texts += (ROOT / "config").glob("*.yaml")
    named = [
        name for path in texts for name in re.findall(r"(?:手册|operate\.zh-CN\.md 的)“(.+?)”", path.read_text("utf-8"))
    ]
    assert len(named) > 5
    assert [name for name in named if not any(name in "".join(title) for title in titles)] == []


def test_every_kind_of_alert_stands_in_the_handbook_with_the_setting_that_bounds_it() -> None:
    section = HANDBOOK.partition("## Knowing of trouble")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+):", section, re.MULTILINE)
    assert sorted(rows) == sorted(kind.value for kind in Kind)
    named = [name for name in AlertSettings.model_fields if f"`{name}`" not in section and f"{name}:" not in section]
    assert named == []


def test_every_metric_stands_in_the_handbook_and_no_other() -> None:
    section = HANDBOOK.partition("**Prometheus.**")[2].partition("\n## ")[0]
    told = re.findall(r"`(jinsuo_[a-z_]+)`", section)
    source = (ROOT / "center" / "alerts" / "metrics.py").read_text(encoding="utf-8")
    assert sorted(told) == sorted(re.findall(r'"(jinsuo_[a-z_]+)"', source))


def test_links_within_the_handbook_lead_somewhere() -> None:
    def slug(title: str) -> str:
        return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")

    titles = {slug(title) for title in re.findall(r"^#+ (.+)$", HANDBOOK, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", HANDBOOK)) <= titles
