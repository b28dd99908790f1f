# SPDX-License-Identifier: Apache-2.0
"""The commands of `jinsuo-agent`: what they say, in both languages and as JSON, and their exit codes."""

import io
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from agent.cli.facade import Facade
from agent.cli.main import make_program
from agent.cli.run import Run
from agent.errors import CenterDownError, CenterRefusedError, LoginError, PinError, ReceiptError
from agent.example import EXAMPLE
from agent.finding import Finding, Severity
from agent.outcome import Left, Stage, Verdict
from agent.plan.figures import Line, Question
from evidence.errors import FormatError
from terminal.errors import SettingsError
from tests.builders.plans import make_plan, make_sample, make_surroundings, make_table
from tests.fakes.agent import NOW, FakeAgent, StopAfter, make_comparison, make_outcome

DOWN = CenterDownError("the center does not answer", hint="wait")


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


def _run(agent: FakeAgent, *line: str, environ: Mapping[str, str] | None = None) -> int:
    assert isinstance(agent, object)
    return make_program(agent.open, lambda: NOW).main(["-C", "folder", *line], environ=environ or {})


def _json(agent: FakeAgent, capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, dict[str, object]]:
    code = _run(agent, "--json", *line)
    return code, json.loads(capsys.readouterr().out)


def test_fake_agent_is_an_agent() -> None:
    facade: Facade = FakeAgent()
    assert facade.source_names() == ("his", "lis")


def test_commands_of_the_contract_are_there(agent: FakeAgent) -> None:
    names = {command.name for command in make_program(agent.open, lambda: NOW).commands}
    assert names >= {
        "init", "enroll", "check", "grants", "plan", "snapshot", "send", "compare", "status", "secret set",
        "secret list", "run", "version",
    }  # fmt: skip


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_command_teaches_with_an_example_for_each_shell(
    agent: FakeAgent, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in make_program(agent.open, lambda: NOW).commands:
        assert _run(agent, "--lang", language, *command.name.split(), "--help") == 0
        said = capsys.readouterr().out
        assert command.examples.sh in said
        assert command.examples.powershell in said
        assert command.name in command.examples.sh
        assert command.name in command.examples.powershell
    assert agent.asked == [], "help opens nothing"


def test_snapshot_without_names_takes_every_source_in_the_order_of_the_settings(agent: FakeAgent) -> None:
    assert _run(agent, "snapshot") == 0
    assert agent.asked == [("open", Path("folder")), ("snapshot", "his", True), ("snapshot", "lis", True)]


def test_snapshot_of_a_source_named_twice_is_taken_once(agent: FakeAgent) -> None:
    assert _run(agent, "snapshot", "lis", "lis", "--no-send") == 0
    assert agent.asked[1:] == [("snapshot", "lis", False)]


def test_snapshot_of_an_unknown_source_takes_none(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(agent, "snapshot", "his", "hsi") == 64
    assert agent.asked == [("open", Path("folder"))]
    assert "there is no source hsi" in capsys.readouterr().err


def test_snapshot_without_any_source_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(FakeAgent(names=()), "snapshot") == 64
    assert "no sources in the settings" in capsys.readouterr().err


def test_stored_snapshot_is_told_with_both_of_its_numbers(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(agent, "snapshot", "his") == 0
    assert capsys.readouterr().out == (
        "his#412 stored at log@90211: 2 tables, 5,094,311 rows, 774.7 MiB; 1.0 MiB sent in 12.5 s\n"
    )
    assert _run(agent, "snapshot", "his", "--lang", "zh") == 0
    assert capsys.readouterr().out.startswith("his#412 已入库（log@90211）：2 张表，5,094,311 行")


def test_snapshot_that_waits_in_the_spool_is_told_and_exits_2(
    agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = make_outcome(stage=Stage.SPOOLED, log_index=None, receipt_path=None, trouble=DOWN)
    agent.snapshots["his"] = waiting
    assert _run(agent, "snapshot", "his") == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("his#412 in the spool: ")
    assert "JS-2300" in captured.err
    code, document = _json(agent, capsys, "snapshot", "his")
    (told,) = document["snapshots"]  # type: ignore[misc]  # a document of the test
    assert (code, told["level"], told["trouble"]["code"]) == (2, "spooled", "JS-2300")


def test_every_table_left_out_is_warned_of(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.snapshots["his"] = make_outcome(omitted=(Left("public.secret", "no rights"), Left("public.tmp", "dropped")))
    assert _run(agent, "snapshot", "his") == 0
    said = capsys.readouterr().err
    assert "without table public.secret: no rights" in said
    assert "without table public.tmp: dropped" in said


def test_failure_of_one_source_does_not_stop_the_others(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.snapshots["his"] = LoginError("wrong password", hint="secret set")
    code, document = _json(agent, capsys, "snapshot")
    assert code == 1
    assert [each["source"] for each in document["snapshots"]] == ["lis"]  # type: ignore[attr-defined]  # likewise
    assert document["errors"] == [
        {"source": "his", "code": "JS-2102", "message": "wrong password", "hint": "secret set"}
    ]


def test_force_and_retried_logins_count_for_every_member_of_a_group(agent: FakeAgent) -> None:
    agent.groups = {"nightly": ("his", "lis")}
    assert _run(agent, "snapshot", "nightly", "--force", "--retry-login") == 0
    assert agent.asked[1:] == [("group", "nightly", True, "force", "retry login")]


@pytest.mark.parametrize("words", [("--group", "nightly"), ("nightly",), ("nightly", "--group", "nightly")])
def test_group_is_taken_as_one_by_its_name(agent: FakeAgent, words: tuple[str, ...]) -> None:
    agent.groups = {"nightly": ("his", "lis")}
    assert _run(agent, "snapshot", *words, "--no-send") == 0
    assert agent.asked[1:] == [("group", "nightly", False)]


def test_source_that_its_group_has_taken_is_not_taken_again(agent: FakeAgent) -> None:
    agent.groups, agent.names = {"nightly": ("his", "lis")}, ("his", "lis", "pacs")
    assert _run(agent, "snapshot", "his", "pacs", "nightly") == 0
    assert agent.asked[1:] == [("group", "nightly", True), ("snapshot", "pacs", True)]


def test_sources_are_taken_one_by_one_where_no_group_is_named(agent: FakeAgent) -> None:
    agent.groups = {"nightly": ("his", "lis")}
    assert _run(agent, "snapshot") == 0
    assert agent.asked[1:] == [("snapshot", "his", True), ("snapshot", "lis", True)]


def test_unknown_group_takes_nothing_and_names_those_that_there_are(
    agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.groups = {"nightly": ("his", "lis")}
    assert _run(agent, "snapshot", "--group", "weekly", "his") == 64
    assert agent.asked == [("open", Path("folder"))]
    said = capsys.readouterr().err
    assert "there is no group weekly" in said
    assert "nightly" in said


def test_failed_member_of_a_group_is_told_and_the_others_are_taken(
    agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.groups = {"nightly": ("his", "lis")}
    agent.snapshots["his"] = LoginError("wrong password", hint="secret set")
    code, document = _json(agent, capsys, "snapshot", "--group", "nightly")
    assert code == 1
    assert [each["source"] for each in document["snapshots"]] == ["lis"]  # type: ignore[attr-defined]  # likewise
    assert [each["source"] for each in document["errors"]] == ["his"]  # type: ignore[attr-defined]  # likewise


def test_failure_counts_more_than_waiting(agent: FakeAgent) -> None:
    agent.snapshots = {"his": make_outcome(trouble=DOWN), "lis": LoginError("x", hint="y")}
    assert _run(agent, "snapshot") == 1


def test_failure_of_the_only_source_is_the_commands(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.snapshots["his"] = LoginError("wrong password", hint="secret set")
    code, document = _json(agent, capsys, "snapshot", "his")
    assert (code, document) == (1, {"error": {"code": "JS-2102", "message": "wrong password", "hint": "secret set"}})


@pytest.mark.parametrize("kind", [PinError, ReceiptError])
def test_stranger_at_the_other_end_stops_everything(agent: FakeAgent, kind: type[PinError]) -> None:
    agent.snapshots["his"] = kind("not our center", hint="call")
    assert _run(agent, "snapshot") == 1
    assert ("snapshot", "lis", True) not in agent.asked


def test_error_of_evidence_is_told_with_its_code(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.snapshots["his"] = FormatError("a manifest is damaged")  # type: ignore[assignment]  # any exception will do
    assert _run(agent, "snapshot") == 1
    said = capsys.readouterr().err
    assert said.startswith("Error JS-1001: a manifest is damaged\n")
    assert "call the archives" in said


def test_send_tells_what_went_and_that_nothing_waits(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    agent.waiting = [[make_outcome(sequence=1), make_outcome(sequence=2, trouble=DOWN)]]
    assert _run(agent, "send") == 2
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["his#1", "his#2"]
    assert _run(agent, "send") == 0
    assert capsys.readouterr().out == "nothing waits in the spool\n"


def test_send_within_a_time_has_a_budget_of_it_and_a_wrong_time_is_told(
    agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.waiting = [[make_outcome(sequence=1)]]
    assert _run(agent, "send", "--within", "30min") == 0
    assert agent.budgets[0] is not None
    assert not agent.budgets[0].is_spent
    assert _run(agent, "send", "--within", "soon") == 64
    assert "such as 30min" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verdicts", "code", "said"),
    [
        ((Verdict.EQUAL, Verdict.EQUAL), 0, "equal to his#412"),
        ((Verdict.EQUAL, Verdict.DIFFERENT), 1, "differs from his#412"),
        ((Verdict.SCHEMA_DIFFERS,), 1, "schema differs"),
        ((Verdict.ONLY_LIVE,), 1, "only in the source"),
        ((Verdict.ONLY_REGISTERED,), 1, "only registered"),
        ((Verdict.EQUAL, Verdict.NOT_READ), 2, "undecided"),
        ((Verdict.DIFFERENT, Verdict.NOT_READ), 1, "differs"),
    ],
)
def test_comparison_says_equal_only_if_every_table_was_read_and_is(
    agent: FakeAgent, verdicts: tuple[Verdict, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.comparison = make_comparison(*verdicts)
    assert _run(agent, "compare", "his", "--with", "412") == code
    assert said in capsys.readouterr().out
    _, document = _json(agent, capsys, "compare", "his", "--with", "412")
    assert document["equal"] is (code == 0)


@pytest.mark.parametrize(("text", "sequence"), [("412", 412), ("latest", None)])
def test_comparison_asks_for_the_statement_named(agent: FakeAgent, text: str, sequence: int | None) -> None:
    _run(agent, "compare", "his", "--with", text)
    assert agent.asked[1:] == [("compare", "his", sequence)]


@pytest.mark.parametrize("text", ["0", "+7", "-1", " 7", "1_000", "٣", "007x", "", "9" * 16, "newest"])
def test_comparison_with_what_is_no_sequence_is_wrong_usage(agent: FakeAgent, text: str) -> None:
    assert _run(agent, "compare", "his", f"--with={text}") == 64
    assert agent.asked == []


def test_status_tells_newest_stored_lag_and_what_waits(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(agent, "status") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("X013 at https://c:1\n")
    for word in ("his#412", "in the spool", "#411 log@90211", "1 d 2 h", "1 (1.0 MiB)", "1.0 MiB of 20.0 GiB"):
        assert word in captured.out
    assert "on change" in captured.out, "in the place of a time"
    assert "lis: no rights" in captured.err
    assert "was not taken: the agent was not running" in captured.err
    code, document = _json(agent, capsys, "status")
    his, lis = document["sources"]  # type: ignore[misc]  # likewise
    assert (his["schedule"], his["next_run"], his["missed"]) == ("daily at 01:30", "2025-07-01T03:02:03Z", None)
    assert (lis["next_run"], lis["missed"]) == (
        None,
        {"at": "2025-06-30T01:02:03Z", "why": "the agent was not running"},
    )
    his = document["sources"][0]  # type: ignore[index]  # likewise
    assert (code, his["lag_seconds"], his["taken_at"]) == (0, 93600, "2025-07-01T01:02:03Z")


@pytest.mark.parametrize(
    ("severities", "code"),
    [
        ((Severity.OK, Severity.WARN), 0),
        ((Severity.OK, Severity.NOT_EXAMINED), 2),
        ((Severity.NOT_EXAMINED, Severity.FAIL, Severity.WARN), 1),
        ((), 0),
    ],
)
def test_check_exits_by_the_worst_of_its_findings(
    agent: FakeAgent, severities: tuple[Severity, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.findings = [Finding(severity, f"s{i}", "how it is", "do this") for i, severity in enumerate(severities)]
    assert _run(agent, "check") == code
    said = capsys.readouterr().out
    assert [line.split("  ")[0] for line in said.splitlines() if "→" not in line] == [s.value for s in severities]
    assert agent.asked[-1] == ("check", False)


def test_check_as_a_service_tells_of_the_service_itself_first(
    agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.findings = [Finding(Severity.OK, "clock", "how it is", "")]
    assert _run(agent, "check", "--as-service") == 0
    assert [line.split(":")[0].split()[-1] for line in capsys.readouterr().out.splitlines() if "→" not in line] == [
        "service",
        "clock",
    ]
    assert agent.asked[-1] == ("check", True)


def test_plan_lists_the_largest_table_first_and_says_what_was_not_measured(
    agent: FakeAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.plans["his"] = make_plan(
        make_table("a", rows=1000), make_table("b", rows=5000), make_table("c"),
        samples=(make_sample("a", is_whole=True), make_sample("b")),
        around=make_surroundings(last=make_outcome()),
    )  # fmt: skip
    assert _run(agent, "plan", "his") == 2
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["b", "a", "c"]
    assert "NOT MEASURED: 1 table(s): c" in said
    assert "line:                         NOT MEASURED" in said
    assert "last time, his#412: 5,094,311 rows" in said
    document = _json(agent, capsys, "plan", "his")[1]
    assert document["unmeasured"] == ["c"]
    assert document["nightly_bytes"] is None
    assert _json(agent, capsys, "plan", "lis")[1]["last"] is None


def test_plan_asks_for_what_the_person_says(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(agent, "plan", "his", "--line", "10Mbit/s", "--window", "30min", "--sample", "5s") == 0
    assert agent.asked[-1] == ("plan", "his", Question(Line(10_000_000, False), 1800, 5))
    assert "1 night(s) of 30.0 min" in capsys.readouterr().out
    for wrong in (("--line", "fast"), ("--window", "0h"), ("--window", "6"), ("--sample", "-1s")):
        assert _run(agent, "plan", "his", f"{wrong[0]}={wrong[1]}") == 64


def test_plan_that_foresees_a_failure_fails(agent: FakeAgent) -> None:
    agent.plans["his"] = make_plan(around=make_surroundings(age_limit_s=1.0))
    assert _run(agent, "plan", "his") == 1


def test_grants_prints_the_sql_and_nothing_else(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(agent, "grants", "his") == 0
    assert capsys.readouterr().out == "-- Only to read:\nGRANT SELECT ON his;\n"
    assert _run(agent, "--lang", "zh", "grants", "his") == 0
    assert capsys.readouterr().out == "-- 只读： \nGRANT SELECT ON his;\n"
    assert _run(agent, "grants", "x") == 1


def test_enrolment_code_may_come_from_stdin(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeffJS1-CODE\r\n"))
    assert _run(agent, "enroll", "--center", "https://c:1", "--code", "-") == 0
    assert agent.asked[-1] == ("enroll", "https://c:1", "JS1-CODE")
    assert "enrolled as X013 (市第一医院)" in capsys.readouterr().out


def test_secret_is_read_from_stdin_kept_and_listed_but_never_shown(
    agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2\n"))
    assert _run(agent, "-C", str(tmp_path), "secret", "set", "his") == 0
    assert _run(agent, "-C", str(tmp_path), "secret", "list", environ={"JINSUO_SECRET_HIS": "x"}) == 0
    captured = capsys.readouterr()
    assert "hunter2" not in captured.out + captured.err
    assert "secret:his" in captured.out
    assert "JINSUO_SECRET_HIS" in captured.out
    assert "hunter2" in (tmp_path / "secrets.json").read_text()


def test_secret_with_a_name_that_cannot_be_is_refused_before_it_is_asked_for(
    agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.StringIO("hunter2\n")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert _run(agent, "-C", str(tmp_path), "secret", "set", "a/b") == 64
    assert stdin.tell() == 0


def test_nothing_on_stdin_is_wrong_usage(agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert _run(agent, "-C", str(tmp_path), "secret", "set", "his") == 64
    assert not (tmp_path / "secrets.json").exists()


def test_version_is_told_as_json(agent: FakeAgent, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = _json(agent, capsys, "version")
    assert (code, set(document)) == (0, {"jinsuo", "python", "sqlite", "system"})


# The daemon


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    monkeypatch.setattr("agent.cli.run.set_up_logging", lambda *_: None)
    with caplog.at_level(logging.INFO, logger="agent"):
        yield caplog


def _daemon(agent: FakeAgent, folder: Path, rounds: int, during: Callable[[int], None] = lambda _: None) -> int:
    from argparse import Namespace

    from terminal.language import Language
    from terminal.printer import Printer

    stop = StopAfter(rounds, during)
    run = Run(agent.open, lambda: NOW, stop, monotonic=stop.monotonic)
    return run.run(Namespace(folder=folder, every=60), Printer(Language.EN))


def test_daemon_drains_again_and_again_and_opens_the_agent_anew(
    agent: FakeAgent, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    agent.waiting = [[make_outcome(sequence=1)], [make_outcome("lis", sequence=2)], [make_outcome(sequence=3)]]
    between: list[int] = []
    assert _daemon(agent, tmp_path, 3, during=lambda _: between.append(agent.opened)) == 0
    assert agent.asked.count(("send",)) == 3
    assert between == [0, 0, 0], "other commands can work between the rounds"
    sent = [record for record in logged.records if record.message == "statement sent"]
    assert [record.statement for record in sent] == ["his#1", "lis#2", "his#3"]  # type: ignore[attr-defined]  # a fact


def test_daemon_greets_the_center_when_nothing_waits_and_only_then(
    agent: FakeAgent, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    agent.waiting = [[make_outcome()], [], [make_outcome(sequence=2)], []]
    agent.greet_error = DOWN
    assert _daemon(agent, tmp_path, 4) == 0
    assert [words for words in agent.asked if words[0] in ("send", "greet")] == [
        ("send",), ("greet",), ("send",), ("greet",),
    ]  # fmt: skip
    assert [record.levelname for record in logged.records if record.message == "center not greeted"] == ["INFO"] * 2


@pytest.mark.parametrize(("err", "level"), [(DOWN, "WARNING"), (CenterRefusedError("disabled", hint="call"), "ERROR")])
def test_daemon_lives_through_trouble_and_logs_it(
    agent: FakeAgent, tmp_path: Path, err: Exception, level: str, logged: pytest.LogCaptureFixture
) -> None:
    agent.waiting = [err, [make_outcome()]]
    assert _daemon(agent, tmp_path, 2) == 0
    (trouble,) = [record for record in logged.records if record.message == "spool not sent"]
    assert trouble.levelname == level
    assert "statement sent" in [record.message for record in logged.records]


def test_daemon_lives_through_settings_that_somebody_breaks_while_it_runs(
    agent: FakeAgent, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    agent.waiting = [[make_outcome(sequence=n)] for n in (1, 2)]

    def breaking(round_: int) -> None:
        agent.open_error = SettingsError("agent.yaml line 3: unknown key", hint="mend") if round_ == 1 else None

    assert _daemon(agent, tmp_path, 3, during=breaking) == 0
    assert agent.asked.count(("send",)) == 2
    assert "agent.yaml line 3" in logged.text or any("line 3" in str(r.__dict__) for r in logged.records)


def test_daemon_does_not_start_on_wrong_settings(
    agent: FakeAgent, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    agent.open_error = SettingsError("wrong", hint="mend")
    with pytest.raises(SettingsError):
        _daemon(agent, tmp_path, 1)


@pytest.mark.parametrize("kind", [PinError, ReceiptError])
def test_daemon_ends_when_the_other_end_is_not_an_honest_center(
    agent: FakeAgent, tmp_path: Path, kind: type[PinError], logged: pytest.LogCaptureFixture
) -> None:
    agent.waiting = [kind("not our center", hint="call")]
    with pytest.raises(kind):
        _daemon(agent, tmp_path, 5)


@pytest.mark.parametrize("every", ["0", "-1", "86401"])
def test_daemon_refuses_a_pause_that_makes_no_sense(agent: FakeAgent, every: str) -> None:
    assert _run(agent, "run", f"--every={every}") == 64


# The real agent, as far as it goes without a center


def _jinsuo(*line: str, **options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent.cli.main", *line]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload,no-any-return]  # text options


def _make_agent(tmp_path: Path, *extra: str) -> Path:
    folder = tmp_path / "agent"
    assert _jinsuo("init", str(folder)).returncode == 0
    with sqlite3.connect(tmp_path / "his.db") as db:
        db.execute("CREATE TABLE 病人 (id INTEGER PRIMARY KEY, 姓名 TEXT)")
        db.execute("INSERT INTO 病人 VALUES (1, '张三')")
    db.close()
    settings = ["spool: {min_free: 0}", f"sources: [{{name: his, kind: sqlite, path: {tmp_path}/his.db}}]", *extra]
    (folder / "agent.yaml").write_text("\n".join(settings) + "\n")
    return folder


def test_new_folder_says_what_comes_next_and_is_checked(tmp_path: Path) -> None:
    folder = _make_agent(tmp_path)
    done = _jinsuo("-C", str(folder), "check", "--json")
    assert done.returncode == 1
    found = {each["subject"]: each["severity"] for each in json.loads(done.stdout)["findings"]}
    assert found["enrolment"] == "FAIL"
    assert found["clock"] == "NOT EXAMINED"
    assert found["settings"] == "OK"


def test_plan_of_a_real_source_names_its_tables(tmp_path: Path) -> None:
    done = _jinsuo("-C", str(_make_agent(tmp_path)), "plan", "his", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [table["name"] for table in document["tables"]] == ["病人"]
    assert document["consistency"] == "consistent"
    assert document["tables"][0]["sample"]["is_whole"] is True
    assert document["content_bytes"] > 0
    assert document["line_trouble"] == "not enrolled"


def test_snapshot_of_an_agent_that_is_not_enrolled_says_so(tmp_path: Path) -> None:
    done = _jinsuo("-C", str(_make_agent(tmp_path)), "snapshot")
    assert done.returncode == 64
    assert done.stderr.startswith("Error JS-2310: ")
    assert "enroll" in done.stderr


def test_language_of_the_settings_is_spoken(tmp_path: Path) -> None:
    folder = _make_agent(tmp_path, "language: zh")
    done = _jinsuo("-C", str(folder), "status")
    assert done.returncode == 0
    assert done.stdout.startswith("尚未登记")


def test_mistake_in_the_settings_is_told_with_its_line(tmp_path: Path) -> None:
    folder = _make_agent(tmp_path, "spol: {}")
    done = _jinsuo("-C", str(folder), "status")
    assert done.returncode == 64
    assert "agent.yaml line 3, spol: unknown key spol (did you mean spool?)" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_real_daemon_starts_drains_and_stops_when_told(tmp_path: Path, number: signal.Signals) -> None:
    folder = _make_agent(tmp_path)
    command = [sys.executable, "-m", "agent.cli.main", "-C", str(folder), "run", "--every", "3600"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        assert " INFO agent.jobs.daemon agent started folder=" in daemon.stderr.readline()
        daemon.send_signal(number)
        assert " INFO agent.jobs.daemon agent stopped rounds=" in daemon.stderr.readline()
        assert daemon.wait(60) == 0


def test_handover_is_shown_or_written_to_a_new_file_alone(
    agent: FakeAgent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = make_program(agent.open, lambda: NOW)
    (tmp_path / "agent.yaml").write_text(EXAMPLE, encoding="utf-8")
    path = tmp_path / "handover.md"
    assert program.main(["-C", str(tmp_path), "--lang", "en", "handover", "--out", str(path)], environ={}) == 0
    assert "# Handover of the Jinsuo agent: X013" in path.read_text(encoding="utf-8")
    assert program.main(["-C", str(tmp_path), "handover", "--out", str(path)], environ={}) == 64
    capsys.readouterr()
    assert program.main(["-C", str(tmp_path), "--json", "handover"], environ={}) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sources"][0] == {
        "source": "his", "kind": "postgresql", "from": "postgresql localhost:5432/hospital", "account": "jinsuo",
        "password": "secret:his",
    }  # fmt: skip
