# SPDX-License-Identifier: Apache-2.0
"""agent.yaml: what it may say, what is refused, and that the example shows all of it."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from agent.config import AgentConfig, GroupSettings, SpoolSettings, load_config
from agent.example import EXAMPLE, first_settings, make_folder
from agent.settings.health import HealthSettings
from agent.settings.heartbeat import HeartbeatSettings
from agent.settings.road import (
    BagSettings,
    FolderSettings,
    ProxySettings,
    RoadSettings,
    SftpSettings,
    SshSettings,
    parse_address,
)
from agent.settings.schedule import ScheduleSettings
from agent.settings.sources import (
    CommandSource,
    FilesSource,
    MysqlSource,
    OdbcSource,
    OracleSource,
    PostgresqlSource,
    SqliteSource,
    SqlserverSource,
    WatchSettings,
    age_limit_of,
)
from agent.settings.throttle import SourceThrottle, ThrottleSettings
from agent.snapshot.supervised import limits_of
from agent.throttle import Limits, parse_quiet_hours
from terminal.errors import SettingsError, UsageError
from terminal.log_settings import LogSettings
from terminal.settings import parse_settings

ROOT = Path(__file__).parents[4]
_KINDS = {
    "sqlite": SqliteSource, "postgresql": PostgresqlSource, "mysql": MysqlSource, "sqlserver": SqlserverSource,
    "oracle": OracleSource, "odbc": OdbcSource, "files": FilesSource, "command": CommandSource,
}  # fmt: skip


def _parse(text: str) -> AgentConfig:
    return parse_settings(text.encode(), "agent.yaml", AgentConfig)


def _keys_of(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_example_in_config_is_the_one_that_init_writes() -> None:
    assert (ROOT / "config" / "agent.example.yaml").read_text(encoding="utf-8") == EXAMPLE


def test_example_shows_every_key_of_every_model_and_parses() -> None:
    data = yaml.safe_load(EXAMPLE)
    assert set(data) == _keys_of(AgentConfig)
    assert set(data["spool"]) == _keys_of(SpoolSettings)
    assert set(data["throttle"]) == _keys_of(ThrottleSettings)
    assert set(data["health"]) == _keys_of(HealthSettings)
    assert set(data["log"]) == _keys_of(LogSettings)
    assert set(data["heartbeat"]) == _keys_of(HeartbeatSettings)
    shown = re.search(r"(?m)^# (groups: \[\{.*\}\])$", EXAMPLE)
    assert shown is not None
    assert set(yaml.safe_load(shown[1])["groups"][0]) == _keys_of(GroupSettings)
    assert _parse(EXAMPLE.replace("groups: []", shown[1])).groups
    schedule = re.search(r"(?m)^    #   (schedule:\n(?:    #     .*\n)+)", EXAMPLE)
    assert schedule is not None
    shown_schedule = yaml.safe_load(schedule[1].replace("    #   ", ""))["schedule"]
    assert ScheduleSettings(run="daily at 01:30") == ScheduleSettings.model_validate_json(json.dumps(shown_schedule))
    assert set(shown_schedule) == _keys_of(ScheduleSettings)
    assert {source["kind"] for source in data["sources"]} == set(_KINDS)
    for source in data["sources"]:
        assert set(source) == _keys_of(_KINDS[source["kind"]]), source["kind"]
    assert len(_parse(EXAMPLE).sources) == len(_KINDS)


def test_example_shows_the_defaults() -> None:
    shown = _parse(EXAMPLE)
    assert shown.spool == SpoolSettings()
    assert shown.throttle == ThrottleSettings()
    assert (shown.health, shown.log) == (HealthSettings(), LogSettings())
    assert shown.language == AgentConfig().language
    for source in shown.sources:
        for name, field in type(source).model_fields.items():
            if not field.is_required() and name != "password":
                assert getattr(source, name) == field.get_default(call_default_factory=True), f"{source.kind}: {name}"


def test_every_key_of_the_example_that_is_new_has_a_comment_before_it() -> None:
    seen: set[str] = set()
    lines = EXAMPLE.splitlines()
    for before, line in pairwise(lines):
        match = re.match(r"[ -]*([a-z_]+):", line)
        if match and match[1] not in seen:
            seen.add(match[1])
            plain = {"kind", "port", "database", "path"}
            assert match[1] in plain or before.lstrip(" -").startswith("#"), f"{match[1]} has no comment"
    assert {"language", "spool", "sources", "password", "attempts"} <= seen


@pytest.mark.parametrize("model", _KINDS.values())
def test_every_key_of_a_source_is_passed_on_by_the_wiring(model: type[BaseModel]) -> None:
    wiring = "".join(
        (ROOT / "agent" / name).read_text(encoding="utf-8") for name in ("acts/runs.py", "jobs/job.py", "sources.py")
    )
    assert [name for name in model.model_fields if name != "kind" and f"source.{name}" not in wiring] == []


def test_password_in_a_connection_string_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        _parse("sources: [{name: a, kind: odbc, dialect: dm8, connection: 'Server=x;password = hunter2'}]")
    assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)


def test_example_shows_in_a_comment_how_a_source_is_watched() -> None:
    lines = [line.strip().removeprefix("#").strip() for line in EXAMPLE.splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith("watch: {"))
    end = next(i for i, line in enumerate(lines) if i >= begin and line.endswith("}"))
    shown = yaml.safe_load(" ".join(lines[begin : end + 1]))["watch"]
    assert set(shown) == _keys_of(WatchSettings)
    (source,) = _parse(
        yaml.safe_dump({"sources": [{"name": "a", "kind": "files", "path": "b", "watch": shown}]})
    ).sources
    assert isinstance(source, FilesSource)
    assert source.watch == WatchSettings()


def _commented(key: str) -> str:
    """Give the commented line of the example that shows `key`, over as many lines as its braces take."""
    match = re.search(rf"(?m)^  # {key}: \{{[^}}]*\}}", EXAMPLE)
    assert match is not None
    return re.sub(r"\n *# *", " ", match[0].removeprefix("  # "))


def test_example_shows_every_key_of_the_road() -> None:
    assert set(yaml.safe_load(EXAMPLE)["road"]) == _keys_of(RoadSettings)
    assert _parse(EXAMPLE).road == RoadSettings()
    shown = {"kind": "ssh"}
    assert set(yaml.safe_load(EXAMPLE)["road"]["bags"]) == _keys_of(BagSettings)
    for key, model in (
        ("proxy", ProxySettings), ("ssh", SshSettings), ("folder", FolderSettings), ("sftp", SftpSettings),
    ):  # fmt: skip
        shown |= yaml.safe_load(_commented(key))
        assert set(shown[key]) == _keys_of(model)  # type: ignore[call-overload]
    road = _parse(yaml.safe_dump({"road": shown})).road
    assert road.ssh is not None
    for name, field in SshSettings.model_fields.items():
        if not field.is_required():
            assert getattr(road.ssh, name) == field.default, name


@pytest.mark.parametrize(
    ("road", "fact"),
    [
        ("{kind: ssh}", "`ssh`, for `kind: ssh`"),
        ("{kind: ftp}", "https"),
        ("{kind: folder}", "`folder`, for `kind: folder`"),
        ("{kind: sftp, folder: {outbox: a, inbox: b}}", "`sftp`, for `kind: sftp`"),
        ("{kind: folder, folder: {outbox: a}}", "inbox"),
        ("{kind: sftp, sftp: {host: h, user: u, host_key: X, outbox: ../a, inbox: b}}", "a folder of the SFTP server"),
        ("{kind: sftp, sftp: {host: h, user: u, host_key: X, outbox: '', inbox: b}}", "outbox"),
        ("{bags: {size: 1 KiB}}", "at least"),
        ("{proxy: {url: 'https://proxy:1'}}", "HTTP proxy"),
        ("{proxy: {url: 'http://proxy:1/x'}}", "HTTP proxy"),
        ("{proxy: {url: 'http://clinic:hunter2@proxy:1'}}", "HTTP proxy"),
        ("{proxy: {url: 'http://proxy', user: a, password: hunter2}}", "secret:NAME"),
        ("{proxy: {url: 'http://proxy', password: 'secret:a'}}", "`user`"),
        ("{proxy: {url: 'http://proxy', user: 'a:b'}}", "user"),
        ("{kind: ssh, ssh: {host: h, user: u}}", "host_key"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: 'MD5:aa'}}", "fingerprint SHA256"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: 'ssh-ed25519 AAAA'}}", "fingerprint SHA256"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: 'ssh-ed25519 !!!!'}}", "fingerprint SHA256"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: 'ssh-ed25519'}}", "fingerprint SHA256"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: 'ssh-new AAAAB3NzaC1yc2E='}}", "fingerprint SHA256"),
        ("{kind: ssh, ssh: {host: 'h h', user: u, host_key: X}}", "host"),
        ("{kind: ssh, ssh: {host: h, user: u u, host_key: X}}", "account"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: X, forward: '8443'}}", "host:port"),
        ("{kind: ssh, ssh: {host: h, user: u, host_key: X, forward: '::1:8443'}}", "host:port"),
    ],
)
def test_a_road_that_leads_nowhere_is_refused_with_what_was_meant(road: str, fact: str) -> None:
    text = road.replace("host_key: X", f"host_key: 'SHA256:{'A' * 43}'")
    with pytest.raises(SettingsError) as caught:
        _parse(f"road: {text}")
    told = f"{caught.value} {caught.value.hint}"
    assert fact in told
    assert "hunter2" not in told + str(caught.value.__cause__)


def test_paths_and_addresses_of_a_road_are_taken_as_one_writes_them(tmp_path: Path) -> None:
    ssh = f"{{host: '[2001:db8::1]', user: line, host_key: 'SHA256:{'A' * 43}', forward: '[::1]:8443'}}"
    (tmp_path / "agent.yaml").write_text(f"road: {{kind: ssh, ssh: {ssh}, proxy: {{url: 'http://[::1]'}}}}")
    road = load_config(tmp_path).road
    assert road.ssh is not None and road.proxy is not None
    assert (road.ssh.host, road.ssh.key) == ("2001:db8::1", tmp_path / "keys" / "ssh.key")
    assert parse_address(road.ssh.forward or "") == ("::1", 8443)
    assert road.proxy.address == ("::1", 80)


def test_folders_of_drop_boxes_are_absolute_here_and_as_written_there(tmp_path: Path) -> None:
    sftp = f"{{host: h, user: u, host_key: 'SHA256:{'A' * 43}', outbox: out, inbox: /in}}"
    (tmp_path / "agent.yaml").write_text(f"road: {{kind: folder, folder: {{outbox: o, inbox: /i}}, sftp: {sftp}}}")
    road = load_config(tmp_path).road
    assert road.carries_files and road.folder is not None and road.sftp is not None
    assert (road.folder.outbox, road.folder.inbox) == (tmp_path / "o", Path("/i"))
    assert (road.sftp.outbox, road.sftp.inbox, road.sftp.key) == ("out", "/in", tmp_path / "keys" / "ssh.key")


def test_examples_of_the_handbook_are_settings() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "operate.md").read_text(encoding="utf-8"), re.M | re.S)
    texts = [f"sources:\n{block}" if block.startswith(" ") else block for block in blocks if "alerts:" not in block]
    sources = [source for text in texts for source in _parse(text).sources]
    assert {source.kind for source in sources} >= {"command"}
    backup = next(s for s in sources if isinstance(s, CommandSource) and "BACKUP" in s.argv[-1])
    assert "DISK='E:\\jinsuo\\pacs.bak'" in backup.argv[-1]


def test_first_settings_have_no_sources_and_become_the_example_by_uncommenting() -> None:
    text = first_settings()
    assert _parse(text) == AgentConfig()
    head, _, tail = text.partition("sources: []\n")
    uncommented = "\n".join(line[2:] if line.startswith("# ") else line.removeprefix("#") for line in tail.split("\n"))
    assert _parse(head + uncommented[uncommented.index("sources:") :]).sources == _parse(EXAMPLE).sources


def test_init_makes_a_private_folder_and_touches_nothing_that_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "agent"
    path = make_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    path.write_text("language: zh\n")
    with pytest.raises(UsageError, match="is there already"):
        make_folder(folder)
    assert path.read_text() == "language: zh\n"


def test_relative_paths_start_at_the_agents_folder(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(
        "sources:\n- {name: a, kind: sqlite, path: x/y.db}\n- {name: b, kind: files, path: /abs}\n"
        "- {name: c, kind: postgresql, database: d, user: u, sslrootcert: ca.pem}\n"
        "- {name: m, kind: mysql, database: d, user: u, ssl_ca: ca.pem}\n"
        "- {name: d, kind: command, argv: [x], output: file, path: d/*.dmp, cwd: w}\n"
        "- {name: e, kind: oracle, service: s, user: u, client: instantclient}\n"
        "- {name: f, kind: odbc, dialect: dm8, connection: DSN=x}\n"
    )
    config = load_config(tmp_path)
    assert config.spool.folder == tmp_path / "spool"
    a, b, c, m, d, e, f = config.sources
    assert isinstance(e, OracleSource)
    assert isinstance(f, OdbcSource)
    assert (e.client, f.connection) == (tmp_path / "instantclient", "DSN=x")
    assert isinstance(d, CommandSource)
    assert (d.path, d.cwd) == (tmp_path / "d/*.dmp", tmp_path / "w")
    assert isinstance(a, SqliteSource)
    assert isinstance(b, FilesSource)
    assert isinstance(c, PostgresqlSource)
    assert isinstance(m, MysqlSource)
    assert m.ssl_ca == tmp_path / "ca.pem"
    assert (a.path, b.path, c.sslrootcert, c.pg_dump) == (tmp_path / "x/y.db", Path("/abs"), tmp_path / "ca.pem", None)


def test_source_is_found_by_its_name() -> None:
    config = _parse(EXAMPLE)
    assert config.find_source("lis") is config.sources[1]
    assert config.find_source("LIS") is None


def test_throttle_of_a_source_goes_before_the_global_one_key_by_key() -> None:
    config = _parse(
        "throttle: {read_rate: 1 MiB, max_cpu: 50, quiet_hours: 07:30-18:00}\n"
        "sources:\n- {name: a, kind: files, path: a, throttle: {read_rate: 2 MiB, quiet_hours: null}}\n"
        "- {name: b, kind: files, path: b}\n"
    )
    a, b = (config.throttle_of(source.throttle) for source in config.sources)
    assert (a.read_rate, a.max_cpu, a.quiet_hours, a.max_latency) == (2 << 20, 50, None, 8)
    assert (b.read_rate, b.max_cpu, b.quiet_hours) == (1 << 20, 50, "07:30-18:00")
    assert limits_of(a) == Limits(max_cpu=50, read_rate=2 << 20)
    assert limits_of(b).quiet_hours == parse_quiet_hours("07:30-18:00")


def test_every_key_of_the_throttle_reaches_the_run() -> None:
    wiring = (ROOT / "agent" / "snapshot" / "supervised.py").read_text(encoding="utf-8")
    assert [name for name in SourceThrottle.model_fields if f"settings.{name}" not in wiring] == []


def test_what_keeps_a_source_waiting_is_its_view_or_its_command() -> None:
    by_kind = {source.kind: age_limit_of(source) for source in _parse(EXAMPLE).sources}
    hours = {"postgresql": 4, "mysql": 4, "odbc": 4, "sqlserver": 4, "sqlite": 1, "oracle": 1, "command": 12}
    assert by_kind == {"files": None} | {kind: hour * 3600 for kind, hour in hours.items()}


@pytest.mark.parametrize(("first", "second"), [("his", "his"), ("his", "HIS"), ("ß", None)])
def test_two_sources_of_one_name_are_refused(first: str, second: str | None) -> None:
    if second is None:
        with pytest.raises(SettingsError, match="1 to 64 of the letters"):
            _parse(f"sources:\n- {{name: {first}, kind: files, path: a}}\n")
        return
    with pytest.raises(SettingsError, match="a name of its own") as caught:
        _parse(
            f"sources:\n- {{name: {first}, kind: files, path: a}}\n- {{name: other, kind: files, path: b}}\n"
            f"- kind: files\n  name: {second}\n  path: c\n"
        )
    assert (caught.value.line, caught.value.key) == (5, "sources[2].name")


_TWO = "sources: [{name: his, kind: sqlite, path: a}, {name: lis, kind: sqlite, path: b}]\n"


def test_group_names_sources_in_the_order_in_which_they_are_read() -> None:
    group = _parse(_TWO + "groups: [{name: nightly, sources: [lis, his]}]").find_group("nightly")
    assert group is not None
    assert group.sources == ("lis", "his")


@pytest.mark.parametrize(
    ("groups", "said", "key"),
    [
        ("[{name: n, sources: [his, pacs]}]", "a name among the sources: his, lis", "groups[0].sources[1]"),
        ("[{name: n, sources: [his, HIS]}]", "a name among the sources", "groups[0].sources[1]"),
        ("[{name: n, sources: [his, his]}]", "each source once", "groups[0].sources[1]"),
        ("[{name: n, sources: [his]}]", "at least 2", "groups[0].sources"),
        ("[{name: HIS, sources: [his, lis]}]", "a name that no source", "groups[0].name"),
        ("[{name: n, sources: [his, lis]}, {name: N, sources: [his, lis]}]", "no other group has", "groups[1].name"),
        ("[{name: a b, sources: [his, lis]}]", "1 to 64 of the letters", "groups[0].name"),
    ],
)
def test_group_that_makes_no_sense_is_refused_at_its_place(groups: str, said: str, key: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as caught:
        _parse(f"{_TWO}groups: {groups}\n")
    assert caught.value.key == key


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "医院", "a" * 65, "a\\b", "-\n"])
def test_name_that_could_not_stand_in_a_statement_or_a_path_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="1 to 64 of the letters"):
        _parse(yaml.safe_dump({"sources": [{"name": name, "kind": "files", "path": "a"}]}))


_PASSWORDS = ["hunter2", "secret:", "secret:a b", "env:", "env:1X", "file:", "SECRET:x", 12345678, True, ["hunter2"]]


@pytest.mark.parametrize("password", _PASSWORDS, ids=str)
def test_password_itself_in_the_settings_is_refused_and_not_repeated(password: object) -> None:
    source = {"name": "his", "kind": "postgresql", "database": "d", "user": "u", "password": password}
    with pytest.raises(SettingsError, match="secret set NAME") as caught:
        _parse(yaml.safe_dump({"sources": [source]}))
    assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)
    assert "12345678" not in str(caught.value) + str(caught.value.__cause__)


@pytest.mark.parametrize("name", ["PGPASSWORD", "SQLCMDPASSWORD", "MYSQL_PWD", "api_token", "ClientSecret"])
def test_password_itself_in_the_environment_of_a_command_is_refused_and_not_repeated(name: str) -> None:
    source = {"name": "his", "kind": "command", "argv": ["pg_dump"], "env": {"PGUSER": "u", name: "hunter2"}}
    with pytest.raises(SettingsError, match="secret set NAME") as caught:
        _parse(yaml.safe_dump({"sources": [source]}))
    assert caught.value.key == f"sources[0].env.{name}"
    assert "hunter2" not in str(caught.value) + str(caught.value.__cause__)
    source["env"] = {"PGUSER": "u", name: "secret:his"}
    (found,) = _parse(yaml.safe_dump({"sources": [source]})).sources
    assert isinstance(found, CommandSource)
    assert found.env == source["env"]


@pytest.mark.parametrize("reference", ["secret:his", "secret:a.b-C_9", "env:PGPASSWORD", "file:/run/his", r"file:C:\p"])
def test_reference_to_a_password_is_taken(reference: str) -> None:
    source = {"name": "his", "kind": "postgresql", "database": "d", "user": "u", "password": reference}
    (found,) = _parse(yaml.safe_dump({"sources": [source]})).sources
    assert isinstance(found, PostgresqlSource)
    assert found.password == reference


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("center: https://x", "unknown key center"),
        ("spool: {max_size: 1 MiB}", "at least 67108864"),
        ("spool: {compression: 20}", "at most 19"),
        ("sources: [{name: a, kind: informix, path: b}]", "there is no kind informix"),
        ("sources: [{name: a, kind: mysql, database: d, user: u, ssl_mode: prefer}]", "verify-identity"),
        ("sources: [{name: a, kind: mysql, database: d, user: u, lock_timeout: 0 s}]", "at least 1"),
        ("sources: [{name: a, kind: mysql, database: d, user: u, port: 0}]", "at least 1"),
        ("sources: [{name: a, kind: mysql, database: d, user: u, password: hunter2}]", "secret set NAME"),
        ("sources: [{name: a, kind: files, path: b, snapshot_age_limit: 1 h}]", "unknown key snapshot_age_limit"),
        ("sources: [{name: a, kind: sqlite, path: b, include: x}]", "expected a list"),
        ("sources: [{name: a, kind: sqlite, path: b, include: ['']}]", "text that is not empty"),
        ("sources: [{name: a, kind: files, path: b, watch: {settle: 0}}]", "at least 1"),
        ("sources: [{name: a, kind: files, path: b, watch: {settle: 2 h}}]", "`most_wait` not less than `settle`"),
        ("sources: [{name: a, kind: files, path: b, watch: true}]", "watch"),
        ("sources: [{name: a, kind: postgresql, database: d, user: u, watch: {}}]", "unknown key watch"),
        ("sources: [{name: a, kind: odbc, dialect: dbase, connection: DSN=x}]", "gbase"),
        ("sources: [{name: a, kind: odbc, dialect: dm8}]", "connection"),
        (
            "sources: [{name: a, kind: odbc, dialect: dm8, connection: 'DSN=x;PWD=hunter2'}]",
            "without account and password",
        ),
        (
            "sources: [{name: a, kind: odbc, dialect: dm8, connection: 'DSN=x; Uid = sa'}]",
            "without account and password",
        ),
        ("sources: [{name: a, kind: sqlserver, database: d, user: u, consistency: per-table}]", "live"),
        ("sources: [{name: a, kind: sqlserver, database: d, user: u, encrypt: on}]", "mandatory"),
        ("sources: [{name: a, kind: oracle, service: s, user: u, lock_timeout: 1 s}]", "unknown key lock_timeout"),
        ("sources: [{name: a, kind: command, argv: pg_dump his}]", "expected a list"),
        ("sources: [{name: a, kind: command, argv: []}]", "argv"),
        ("sources: [{name: a, kind: command, argv: [x], output: file}]", "`path`, for `output: file`"),
        ("sources: [{name: a, kind: command, argv: [x], path: b}]", "only with `output: file`"),
        ("sources: [{name: a, kind: command, argv: [x], remove: true}]", "only with `output: file`"),
        ("sources: [{name: a, kind: command, argv: [x], dump: a/b}]", "a name without /"),
        ("sources: [{name: a, kind: command, argv: [x], output: file, path: '*.dmp', dump: b}]", "no `dump` where"),
        ("sources: [{name: a, kind: command, argv: [x], consistency: per-table}]", "consistent"),
        ("sources: [{name: a, kind: command, argv: [x], exit_codes: [-1]}]", "at least 0"),
        ("sources: [{name: a, kind: command, argv: [x], env: {'A=B': x}}]", "the name and value of a variable"),
        ("sources: [{name: a, kind: command, argv: [x], include: [b]}]", "unknown key include"),
        ("health: {listen: 0.0.0.0:9464}", "of this machine alone"),
        ("health: {listen: '127.0.0.1:70000'}", "of this machine alone"),
        ("health: {listen: localhost}", "such as 127.0.0.1:9464"),
        ("log: {format: xml}", "text"),
        ("log: {max_size: 1 KiB}", "at least 65536"),
        ("throttle: {read_rate: 1 KiB}", "at least 65536"),
        ("throttle: {send_rate: 0}", "at least 65536"),
        ("throttle: {max_cpu: 101}", "at most 100"),
        ("throttle: {max_latency: 1}", "max_latency"),
        ("throttle: {quiet_hours: 7:30-18:00}", "such as 07:30-18:00"),
        ("throttle: {quiet_hours: '08:00-08:00'}", "such as 07:30-18:00"),
        ("throttle: {priority: high}", "low"),
        ("sources: [{name: a, kind: files, path: b, throttle: {priority: low}}]", "unknown key priority"),
    ],
)
def test_setting_that_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        _parse(text)
