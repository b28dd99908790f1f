# SPDX-License-Identifier: Apache-2.0
"""The doctor of settings: each danger is found and told with what to do, and nothing unexamined reads as health."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.config import AgentConfig, SpoolSettings
from agent.doctor import Circumstances, examine
from agent.errors import CenterDownError, PinError
from agent.finding import Finding, Severity
from agent.secrets import Secrets
from terminal.language import Language
from terminal.settings import parse_settings

NOW = datetime(2025, 7, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def healthy(tmp_path: Path) -> Circumstances:
    folder = tmp_path / "agent"
    folder.mkdir(mode=0o700)
    (tmp_path / "scans").mkdir()
    text = f"spool: {{min_free: 0}}\nsources: [{{name: scans, kind: files, path: {tmp_path}/scans}}]\n"
    return Circumstances(
        folder=folder,
        config=parse_settings(text.encode(), "agent.yaml", AgentConfig).with_folder(folder),
        secrets=Secrets(folder, {}),
        environ=frozenset(),
        ask_center=lambda: NOW,
        clock=lambda: NOW,
    )


def _config(of: Circumstances, text: str) -> Circumstances:
    return replace(of, config=parse_settings(text.encode(), "agent.yaml", AgentConfig).with_folder(of.folder))


def _spool(of: Circumstances, **changes: object) -> Circumstances:
    spool = of.config.spool.model_copy(update=changes)
    return replace(of, config=of.config.model_copy(update={"spool": spool}))


def _find(of: Circumstances, subject: str) -> Finding:
    (finding,) = [each for each in examine(of) if each.subject == subject]
    for language in Language:
        assert finding.sentence(language)
    if finding.severity in (Severity.WARN, Severity.FAIL):
        assert finding.advice(Language.EN) != ""
    return finding


def _fail(err: Exception) -> Callable[[], datetime]:
    def ask() -> datetime:
        raise err

    return ask


def test_healthy_agent_has_no_failures_and_nothing_unexamined(healthy: Circumstances) -> None:
    found = {finding.subject: finding.severity for finding in examine(healthy)}
    assert found.pop("scans: volume") in (Severity.OK, Severity.WARN), "the test's folders share a volume"
    assert found == dict.fromkeys(["settings", "folder", "spool", "enrolment", "center", "clock"], Severity.OK)


def test_settings_without_sources_are_warned_of(healthy: Circumstances) -> None:
    assert _find(_config(healthy, ""), "settings").severity is Severity.WARN


def test_folder_that_others_can_enter_is_warned_of(healthy: Circumstances) -> None:
    healthy.folder.chmod(0o755)
    finding = _find(healthy, "folder")
    assert (finding.severity, "0755" in str(finding.message)) == (Severity.WARN, True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_account_is_warned_of(healthy: Circumstances) -> None:
    os.chown(healthy.folder, 65534, 65534)
    assert "65534" in _find(healthy, "folder").sentence(Language.EN)


def test_folder_that_is_gone_fails(healthy: Circumstances) -> None:
    healthy.folder.rmdir()
    assert _find(healthy, "folder").severity is Severity.FAIL


def test_spool_on_a_volume_below_what_must_stay_free_fails(healthy: Circumstances) -> None:
    assert _find(_spool(healthy, min_free=1 << 60), "spool").severity is Severity.FAIL


def _fill(of: Circumstances, size: int) -> None:
    folder = of.config.spool.folder / "his"
    folder.mkdir(parents=True)
    with (folder / "a.pack").open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("percent", "severity"), [(50, Severity.OK), (81, Severity.WARN), (101, Severity.FAIL)], ids=str
)
def test_spool_is_rated_by_how_full_it_is(healthy: Circumstances, percent: int, severity: Severity) -> None:
    _fill(healthy, SpoolSettings().max_size // 100 * percent)
    assert _find(healthy, "spool").severity is severity


def test_spool_that_is_not_there_yet_is_judged_by_the_volume_it_will_be_on(healthy: Circumstances) -> None:
    assert not healthy.config.spool.folder.exists()
    assert _find(healthy, "spool").severity is Severity.OK
    assert not healthy.config.spool.folder.exists(), "the doctor changes nothing"


def test_spool_within_the_folder_that_is_backed_up_fails(healthy: Circumstances) -> None:
    of = _config(healthy, f"sources: [{{name: all, kind: files, path: {healthy.folder.parent}}}]")
    assert _find(of, "all: volume").severity is Severity.FAIL


def test_spool_within_it_is_found_through_a_link(healthy: Circumstances, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    of = _config(healthy, f"sources: [{{name: all, kind: files, path: {tmp_path}/link}}]")
    assert _find(of, "all: volume").severity is Severity.FAIL


def test_spool_on_the_volume_of_the_live_database_is_warned_of(healthy: Circumstances, tmp_path: Path) -> None:
    (tmp_path / "his.db").touch()
    of = _config(healthy, f"sources: [{{name: his, kind: sqlite, path: {tmp_path}/his.db}}]")
    assert _find(of, "his: volume").severity is Severity.WARN


@pytest.mark.parametrize(
    ("kind", "host", "severity"),
    [
        ("postgresql", "127.0.0.1", Severity.WARN),
        ("mysql", "localhost", Severity.WARN),
        ("mysql", "/run/mysqld/mysqld.sock", Severity.WARN),
        ("postgresql", "db.example", None),
    ],
)
def test_spool_on_the_volume_of_a_database_server_on_this_machine_is_warned_of(
    healthy: Circumstances, tmp_path: Path, kind: str, host: str, severity: Severity | None
) -> None:
    text = f"sources: [{{name: his, kind: {kind}, host: {host}, database: his, user: jinsuo}}]"
    of = replace(_config(healthy, text), find_data=lambda source: tmp_path)
    found = [finding.severity for finding in examine(of) if finding.subject == "his: volume"]
    assert found == ([] if severity is None else [severity])


@pytest.mark.parametrize("data", [None, Path("/nowhere/at/all")])
def test_server_here_whose_folder_is_not_known_is_not_examined(healthy: Circumstances, data: Path | None) -> None:
    of = _config(healthy, "sources: [{name: his, kind: postgresql, database: his, user: jinsuo}]")
    finding = _find(replace(of, find_data=lambda source: data), "his: volume")
    assert finding.severity is Severity.NOT_EXAMINED
    assert "different volumes" in finding.advice(Language.EN)


def test_spool_on_another_volume_is_fine(healthy: Circumstances) -> None:
    folders = (Path("/dev/shm"), Path(__file__).parent)
    device = healthy.folder.stat().st_dev
    other = next((path for path in folders if path.is_dir() and path.stat().st_dev != device), None)
    if other is None:
        pytest.skip("needs a second volume")
    of = _config(healthy, f"sources: [{{name: his, kind: files, path: {other}}}]")
    assert _find(of, "his: volume").severity is Severity.OK


def test_source_that_cannot_be_seen_is_not_examined(healthy: Circumstances) -> None:
    of = _config(healthy, "sources: [{name: his, kind: sqlite, path: /nonexistent/his.db}]")
    assert _find(of, "his: volume").severity is Severity.NOT_EXAMINED


_HIS = "sources: [{name: his, kind: postgresql, host: db.example, database: d, user: u, password: 'secret:his'}]"


def test_password_that_is_not_kept_fails(healthy: Circumstances) -> None:
    finding = _find(_config(healthy, _HIS), "his: password")
    assert finding.severity is Severity.FAIL
    assert "secret set his" in finding.advice(Language.EN)


def test_password_that_is_kept_is_fine_and_not_shown(healthy: Circumstances) -> None:
    healthy.secrets.set("his", "hunter2")
    finding = _find(_config(healthy, _HIS), "his: password")
    assert finding.severity is Severity.OK
    assert "hunter2" not in str(finding)


def test_credential_of_the_service_is_not_examined_by_hand_and_fails_where_the_service_lacks_it(
    healthy: Circumstances,
) -> None:
    of = _config(healthy, _HIS.replace("secret:", "credential:"))
    assert _find(of, "his: password").severity is Severity.NOT_EXAMINED
    environ = {"CREDENTIALS_DIRECTORY": str(healthy.folder)}
    within = replace(of, secrets=Secrets(healthy.folder, environ), environ=frozenset(environ))
    assert _find(within, "his: password").severity is Severity.FAIL


def test_password_of_this_shell_is_warned_of_when_a_service_will_run(healthy: Circumstances) -> None:
    environ = {"JINSUO_SECRET_HIS": "hunter2"}
    of = replace(_config(healthy, _HIS), secrets=Secrets(healthy.folder, environ), environ=frozenset(environ))
    assert _find(of, "his: password").severity is Severity.OK
    assert _find(replace(of, environ_counts=False), "his: password").severity is Severity.WARN


def test_agent_that_is_not_enrolled_fails_and_line_and_clock_are_not_examined(healthy: Circumstances) -> None:
    of = replace(healthy, ask_center=None)
    assert _find(of, "enrolment").severity is Severity.FAIL
    assert _find(of, "center").severity is Severity.NOT_EXAMINED
    assert _find(of, "clock").severity is Severity.NOT_EXAMINED


def test_center_that_does_not_answer_is_warned_of_for_nothing_is_lost(healthy: Circumstances) -> None:
    of = replace(healthy, ask_center=_fail(CenterDownError("no line", hint="wait")))
    assert _find(of, "center").severity is Severity.WARN
    assert _find(of, "clock").severity is Severity.NOT_EXAMINED


def test_stranger_in_place_of_the_center_fails(healthy: Circumstances) -> None:
    of = replace(healthy, ask_center=_fail(PinError("another key", hint="call the archives")))
    finding = _find(of, "center")
    assert (finding.severity, finding.advice(Language.EN)) == (Severity.FAIL, "call the archives")


@pytest.mark.parametrize(
    ("offset", "severity", "said"),
    [
        (timedelta(0), Severity.OK, "+0 s"),
        (timedelta(minutes=4), Severity.OK, "+240 s"),
        (timedelta(minutes=-6), Severity.WARN, "-360 s"),
        (timedelta(days=-366), Severity.FAIL, "-31622400 s"),
        (timedelta(days=366), Severity.FAIL, "+31622400 s"),
    ],
)
def test_clock_is_rated_by_its_distance_from_the_centers(
    healthy: Circumstances, offset: timedelta, severity: Severity, said: str
) -> None:
    finding = _find(replace(healthy, clock=lambda: NOW + offset), "clock")
    assert (finding.severity, said in finding.sentence(Language.EN)) == (severity, True)


def test_clock_is_compared_in_the_middle_of_asking(healthy: Circumstances) -> None:
    times = iter([NOW - timedelta(seconds=20), NOW + timedelta(seconds=20)])
    assert "+0 s" in _find(replace(healthy, clock=lambda: next(times)), "clock").sentence(Language.EN)


def test_center_in_another_zone_has_the_same_time(healthy: Circumstances) -> None:
    beijing = NOW.astimezone(timezone(timedelta(hours=8)))
    assert "+0 s" in _find(replace(healthy, ask_center=lambda: beijing), "clock").sentence(Language.EN)


def test_center_that_tells_no_time_leaves_the_clock_unexamined(healthy: Circumstances) -> None:
    assert _find(replace(healthy, ask_center=lambda: None), "clock").severity is Severity.NOT_EXAMINED


def test_databases_without_a_native_backup_are_warned_of_and_told_what_it_is_for(healthy: Circumstances) -> None:
    text = "sources: [{name: his, kind: postgresql, database: d, user: u}, {name: lis, kind: sqlite, path: l.db}"
    finding = _find(_config(healthy, f"{text}]"), "native backup")
    assert finding.severity is Severity.WARN
    assert finding.sentence(Language.EN) == "of his only rows are kept, not procedures, accounts and jobs"
    assert "brings a whole system back" in finding.advice(Language.EN)
    with_backup = _config(healthy, f"{text}, {{name: full, kind: command, argv: [pg_dump, d]}}]")
    assert not [f for f in examine(with_backup) if f.subject == "native backup"]


@pytest.mark.parametrize(
    "source",
    [
        "kind: sqlserver, database: d, user: u",
        "kind: oracle, service: s, user: u",
        "kind: odbc, dialect: dm8, connection: DSN=x, user: u",
    ],
)
def test_passwords_and_backups_of_other_databases_are_examined_too(healthy: Circumstances, source: str) -> None:
    config = _config(healthy, f"sources: [{{name: a, {source}, password: secret:gone}}]")
    assert _find(config, "a: password").severity is Severity.FAIL
    assert _find(config, "native backup").severity is Severity.WARN
    volumes = [f.severity for f in examine(config) if f.subject == "a: volume"]
    assert volumes == ([] if "odbc" in source else [Severity.NOT_EXAMINED])


def test_secret_of_a_command_that_is_not_there_is_found(healthy: Circumstances) -> None:
    config = _config(healthy, "sources: [{name: a, kind: command, argv: [x], env: {PGPASSWORD: secret:pg, PGUSER: u}}]")
    finding = _find(config, "a: PGPASSWORD")
    assert finding.severity is Severity.FAIL
    assert not [f for f in examine(config) if f.subject == "a: PGUSER"]
