# SPDX-License-Identifier: Apache-2.0
"""`jinsuo-agent sources`: every kind and dialect, plainly whether it was ever run against a live server."""

import json
from pathlib import Path
from typing import get_args

import pytest

from agent.cli.main import make_program
from agent.collectors.listing import NOT_YET, find_drivers, list_sources
from agent.collectors.odbc.dialects import DIALECTS
from agent.settings.sources import AnySource, OdbcSource
from tests.fakes.agent import NOW, FakeAgent

ROOT = Path(__file__).parents[4]
DRIVERS = ["PostgreSQL Unicode", "DM8 ODBC DRIVER"]


def test_every_kind_of_the_settings_and_every_dialect_is_listed() -> None:
    kinds = {get_args(model.model_fields["kind"].annotation)[0] for model in get_args(AnySource)}
    listed = list_sources(lambda: DRIVERS)
    assert {each.kind for each in listed} == kinds
    dialects = set(get_args(OdbcSource.model_fields["dialect"].annotation))
    assert {each.dialect for each in listed if each.dialect} == dialects == set(DIALECTS)


def test_what_was_never_run_says_so_and_what_was_says_against_what() -> None:
    verdicts = {each.dialect or each.kind: each.verdict for each in list_sources(lambda: DRIVERS)}
    never = {"oracle", "sqlserver", "dm8", "kingbase", "iris", "db2", "gbase"}
    assert {
        name for name, verdict in verdicts.items() if verdict == NOT_YET == "not yet run against a live server"
    } == never
    assert verdicts["mariadb"].startswith("yes (MariaDB 10.11")


def test_installed_is_what_the_driver_manager_lists() -> None:
    found = {each.dialect or each.kind: each.is_installed for each in list_sources(lambda: DRIVERS, lambda _: False)}
    assert (found["dm8"], found["postgresql"], found["sqlserver"], found["generic"]) == (True, True, False, True)
    assert (found["oracle"], found["files"], found["command"]) == (False, True, True)
    without = {each.dialect: each.is_installed for each in list_sources(lambda: None) if each.dialect}
    assert not any(without.values())


def test_driver_manager_of_this_machine_is_asked_in_a_process_of_its_own() -> None:
    drivers = find_drivers()
    assert drivers is not None
    assert {"PostgreSQL Unicode", "MariaDB Unicode", "SQLite3"} <= set(drivers)


@pytest.mark.parametrize(("language", "words"), [("en", NOT_YET), ("zh", "尚未在真实服务器上运行过")])
def test_command_says_it_plainly_in_both_languages(
    language: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_program(FakeAgent().open, lambda: NOW).main(["--lang", language, "sources"]) == 0
    said = capsys.readouterr().out
    assert said.count(words) == 7
    assert "GBase 8s" in said


def test_json_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_program(FakeAgent().open, lambda: NOW).main(["--json", "sources"]) == 0
    listed = json.loads(capsys.readouterr().out)["sources"]
    assert sum(not each["run_against_a_live_server"] for each in listed) == 7
    assert {"kind", "dialect", "database", "needs", "installed", "run_against_a_live_server", "live_server"} == set(
        listed[0]
    )


@pytest.mark.parametrize("page", ["README.md", "docs/operate.md", "docs/format.md"])
def test_documents_say_it_plainly(page: str) -> None:
    assert NOT_YET in (ROOT / page).read_text(encoding="utf-8")


def test_what_a_source_needs_is_said_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    assert make_program(FakeAgent().open, lambda: NOW).main(["--lang", "zh", "sources"]) == 0
    said = capsys.readouterr().out
    for words in ("jinsuo[odbc]、达梦 DM8 ODBC 驱动（由厂商提供）", "转储命令", "11g 用 Instant Client"):
        assert words in said
    assert "from the vendor" not in said
