# SPDX-License-Identifier: Apache-2.0
"""Which unit the settings of an agent ask for, and what its daemon tells systemd."""

import argparse
import os
import pwd
import socket
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from agent.cli.service import make_systemd_service
from agent.config import AgentConfig
from agent.service.systemd import PATIENCE_S, Attendance, plan_unit
from terminal.service.unit import Unit, find_setting
from terminal.settings import parse_settings

FOLDER = Path("/var/lib/jinsuo-agent")
NOW = datetime(2025, 7, 1, tzinfo=UTC)


def plan(settings: str, installed: str | None = None, **asked: object) -> Unit:
    config = parse_settings(settings.encode(), "agent.yaml", AgentConfig).with_folder(FOLDER)
    return plan_unit(FOLDER, config, installed, **asked)  # type: ignore[arg-type]  # the test states what it asks


def test_plain_agent_writes_nothing_but_its_folder() -> None:
    unit = plan("")
    assert (unit.also_own, unit.writable, unit.credentials, unit.sees_tmp) == ((), (), (), False)
    assert unit.argv[-3:] == ("-C", "/var/lib/jinsuo-agent", "run")
    assert unit.user == "jinsuo-agent"


def test_spool_elsewhere_is_the_accounts_own() -> None:
    assert plan("spool: {folder: /mnt/spool}").also_own == (PurePosixPath("/mnt/spool"),)


def test_sqlite_is_read_with_locks_in_the_files_beside_it() -> None:
    assert plan("sources: [{name: his, kind: sqlite, path: /srv/his/his.db}]").writable == (PurePosixPath("/srv/his"),)


def test_dump_command_writes_where_its_path_is_and_may_need_more_memory() -> None:
    unit = plan("sources: [{name: d, kind: command, argv: [expdp], output: file, path: /u01/dumps/lis.dmp}]")
    assert (unit.writable, unit.memory_max) == ((PurePosixPath("/u01/dumps"),), "4G")


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        (
            "road: {kind: folder, folder: {outbox: /srv/gate/out, inbox: /srv/gate/in}}",
            ["/srv/gate/out", "/srv/gate/in"],
        ),
        ("log: {file: /var/log/jinsuo/agent.log}", ["/var/log/jinsuo"]),
        ("log: {file: logs/agent.log}", []),
    ],
)
def test_what_the_daemon_writes_elsewhere_is_open_to_it(settings: str, written: list[str]) -> None:
    unit = plan(settings)
    # What lies in the folder need not be named; naming it opens nothing.
    assert [str(path) for path in unit.writable if not path.is_relative_to(unit.folder)] == written


def test_every_password_that_may_be_a_credential_is_loaded() -> None:
    unit = plan(
        "road: {kind: https, proxy: {url: 'http://p:3128', user: u, password: 'credential:proxy'}}\n"
        "sources:\n"
        "- {name: a, kind: mysql, host: h, database: d, user: u, password: 'credential:his'}\n"
        "- {name: b, kind: command, argv: [x], env: {PGPASSWORD: 'credential:dump'}}\n"
    )
    assert unit.credentials == ("dump", "his", "proxy")


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("{name: x, kind: files, path: /tmp/export}", True),
        ("{name: x, kind: postgresql, host: /var/tmp, database: d, user: u}", True),
        ("{name: x, kind: files, path: /tmpfs/export}", False),
        ("{name: x, kind: postgresql, host: localhost, database: d, user: u}", False),
    ],
)
def test_machines_tmp_is_seen_only_where_a_source_lies_there(source: str, seen: bool) -> None:
    assert plan(f"sources: [{source}]").sees_tmp is seen


def test_account_and_rights_stay_when_the_unit_is_written_anew() -> None:
    before = plan("", user="oracle", reads_any_file=True).encode()
    again = plan("", before)
    assert (again.user, again.reads_any_file, again.encode()) == ("oracle", True, before)
    assert plan("", before, user="jinsuo-agent").reads_any_file is False


def test_agent_that_does_not_step_back_is_not_made_to() -> None:
    assert find_setting(plan("throttle: {priority: normal}").encode(), "Nice") is None
    assert find_setting(plan("").encode(), "Nice") == "10"


def test_service_is_found_without_its_folder_named(tmp_path: Path) -> None:
    own = pwd.getpwuid(os.geteuid()).pw_name
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"{own}:x:{os.geteuid()}:{os.getegid()}::/:/bin/sh\n")
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "agent.yaml").write_text("")
    (tmp_path / str(folder).lstrip("/")).mkdir(parents=True)
    installer = make_systemd_service(argparse.Namespace(folder=folder, user=own), tmp_path)
    installer._check_program = lambda unit: None  # type: ignore[method-assign]  # the checkout may be closed to others
    installer.install()
    state = make_systemd_service(argparse.Namespace(folder=tmp_path / "default"), tmp_path).state()
    assert (state.is_current, state.account) == (True, own)


def test_daemon_is_ready_at_its_first_round_and_falls_silent_when_one_hangs(tmp_path: Path) -> None:
    clock = [0.0]
    turns: list[float] = []

    def wait(seconds: float) -> bool:
        turns.append(seconds)
        clock[0] += PATIENCE_S / 2
        return len(turns) == 4

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "120000000"}
        attendance = Attendance(environ, lambda: clock[0], wait)
        attendance.step(NOW)
        attendance.close()
        heard = [manager.recv(4096).decode() for _ in range(4)]
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(1)
    assert sorted(heard) == ["READY=1\nSTATUS=at work", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=1"]
