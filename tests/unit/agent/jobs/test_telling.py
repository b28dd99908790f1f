# SPDX-License-Identifier: Apache-2.0
"""What status and check tell of schedules."""

from datetime import timedelta
from pathlib import Path

from agent.config import AgentConfig
from agent.finding import Severity
from agent.jobs.job import Fate, JobState, Note, Reason, make_jobs
from agent.jobs.memory import SCHEDULE_NAME, ScheduleMemory
from agent.jobs.telling import examine_schedules, find_ahead
from terminal.language import Language
from terminal.settings import parse_settings
from tests.builders.jobs import BERLIN, SHANGHAI, local, utc

NOW = local("2026-01-10 12:00")
_ALL = """
time_zone: Europe/Berlin
sources:
  - {name: his, kind: sqlite, path: his.db, schedule: daily at 01:30}
  - {name: lis, kind: sqlite, path: lis.db, schedule: {run: daily at 02:00, time_zone: Asia/Shanghai}}
  - {name: scans, kind: files, path: scans, watch: {}, schedule: on change}
  - {name: hand, kind: files, path: hand}
groups: [{name: both, sources: [his, lis], schedule: weekly on saturday at 23:00}]
"""


def _config(text: str = _ALL) -> AgentConfig:
    return parse_settings(text.encode(), "agent.yaml", AgentConfig)


def test_next_run_is_the_sooner_of_the_source_and_its_group_each_in_its_zone(tmp_path: Path) -> None:
    ahead = find_ahead(tmp_path, make_jobs(_config(), SHANGHAI), NOW)
    assert ahead["his"].next_run == local("2026-01-10 23:00")
    assert ahead["lis"].next_run == local("2026-01-11 02:00", SHANGHAI) == local("2026-01-10 19:00")
    assert (ahead["scans"].words, ahead["scans"].next_run) == ("on change", None)
    assert "hand" not in ahead
    assert not (tmp_path / SCHEDULE_NAME).exists(), "to ask makes nothing"


def test_what_is_pending_and_what_was_missed_is_told(tmp_path: Path) -> None:
    jobs = make_jobs(_config(), BERLIN)
    his = next(job for job in jobs if job.name == "his")
    missed = Note("his", utc("2026-01-08 00:30"), utc("2026-01-09 00:30"), 2, Fate.MISSED, Reason.AWAY.value)
    with ScheduleMemory(tmp_path) as memory:
        memory.put("his", JobState(his.words, NOW - timedelta(hours=1)), [missed])
    ahead = find_ahead(tmp_path, jobs, NOW)
    assert ahead["his"].missed == missed
    assert ahead["lis"].missed is None


def _found(text: str) -> list[tuple[Severity, str, str]]:
    config = _config(text)
    findings = examine_schedules(config, make_jobs(config, BERLIN), NOW, BERLIN)
    return [(f.severity, f.subject, f.sentence(Language.EN)) for f in findings if f.sentence(Language.ZH)]


def test_check_holds_each_schedule_against_the_rule_of_the_practice() -> None:
    found = {subject: (severity, said) for severity, subject, said in _found(_ALL)}
    assert found["his: schedule"] == (Severity.OK, "daily at 01:30: weekly or more often, which goes by line")
    assert found["schedule"] == (Severity.WARN, "hand have no schedule: `jinsuo-agent run` does not take them")
    monthly = _found("sources: [{name: his, kind: sqlite, path: h.db, schedule: monthly on day 1}]\n")
    ((severity, _, said),) = monthly
    assert severity is Severity.WARN
    assert "offline medium" in said
    ((severity, _, said),) = _found("sources: [{name: his, kind: sqlite, path: h.db, schedule: '0 1 1,15 * *'}]\n")
    assert severity is Severity.OK
    assert "of which the practice says nothing" in said


def test_check_warns_of_runs_in_quiet_hours_by_the_clock_of_the_machine() -> None:
    text = (
        'throttle: {{quiet_hours: "07:30-18:00"}}\nsources: [{{name: his, kind: sqlite, path: h.db, schedule: {}}}]\n'
    )
    assert len(_found(text.format("daily at 01:30"))) == 1
    severity, subject, said = _found(text.format("daily at 08:00"))[1]
    assert (severity, subject) == (Severity.WARN, "his: schedule")
    assert said.startswith("all of its runs (08:00, say) fall into its quiet hours 07:30-18:00")
    assert _found(text.format("every 6 h"))[1][2].startswith("some of its runs")
    # 08:00 in Shanghai is 01:00 on this machine.
    assert len(_found(text.format("{run: daily at 08:00, time_zone: Asia/Shanghai}"))) == 1
    assert (
        len(_found(text.format("{run: daily at 08:00}, throttle: {quiet_hours: '07:30-18:00', quiet_rate: 1 MiB}")))
        == 1
    )


def test_settings_without_any_schedule_are_not_lectured() -> None:
    assert _found("sources: [{name: his, kind: sqlite, path: h.db}]\n") == []
