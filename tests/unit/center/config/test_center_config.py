# SPDX-License-Identifier: Apache-2.0
"""center.yaml: every key in the example, every wrong value told with its line."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from center.config import CenterConfig, Settings, load_config, parse_listen, write_config
from center.settings.alerts import CommandChannel, Expected, MailChannel, WebhookChannel
from terminal.errors import SettingsError

EXAMPLE = Path(__file__).parents[4] / "config" / "center.example.yaml"


def keys_of(model: type[Settings], stem: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from keys_of(inner, f"{stem}{name}.")
        else:
            yield stem + name


def keys_in(document: dict[str, object], stem: str = "") -> Iterator[str]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from keys_in(value, f"{stem}{name}.")
        else:
            yield stem + name


def test_the_example_has_every_key_and_no_other() -> None:
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert sorted(keys_in(document)) == sorted(keys_of(CenterConfig))


def test_the_example_states_the_defaults() -> None:
    assert load_config(EXAMPLE) == CenterConfig(origin="archives.example/jinsuo")


def test_the_example_is_what_init_writes() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == write_config("archives.example/jinsuo")


def test_every_key_of_the_example_has_a_comment_before_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if line and not line.lstrip().startswith("#") and line.strip() not in ("folders:", "limits:", "inboxes:"):
            assert before.lstrip().startswith("#"), line


def test_what_init_writes_keeps_odd_origins(tmp_path: Path) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(write_config('档案馆"x\\y#z', "[::1]:0"), encoding="utf-8")
    config = load_config(path)
    assert config.origin == '档案馆"x\\y#z'
    assert config.address == ("::1", 0)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("origin: a\nlisten: nohost\n", 2, "host:port"),
        ("origin: a\nlisten: a:70000\n", 2, "host:port"),
        ("origin: a b\n", 1, "without blanks"),
        ("origin: a+b\n", 1, "without blanks"),
        (f"origin: {'a' * 250}\n", 1, "the name of the log"),
        ("origin: a\nlistn: b:1\n", 2, "did you mean listen"),
        ("origin: a\nlimits:\n  pack_bytes: 17 MiB\n", 3, "at most 16777216"),
        ("origin: a\nlimits:\n  pack_byte: 1 MiB\n", 3, "did you mean pack_bytes"),
        ("origin: a\ndisk_reserve: 1 KiB\n", 2, "at least 16777216"),
        ("origin: a\ndisk_reserve: much\n", 2, "a size such as"),
        ("origin: a\nlimits:\n  request_timeout: fast\n", 3, "a time such as"),
        ("origin: a\nlanguage: de\n", 2, "one of"),
        ("listen: a:1\n", 1, "origin is missing"),
        ("origin: 7\n", 1, "expected text"),
        ("origin: a\norigin: b\n", 2, "stands twice"),
    ],
)
def test_a_wrong_setting_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as caught:
        load_config(path)
    assert caught.value.line == line


MODELS = (Expected, MailChannel, WebhookChannel, CommandChannel)


def shown_entries() -> dict[str, list[dict[str, object]]]:
    """Give the entries of `expected` and `channels` that the example shows in its comments."""
    block = EXAMPLE.read_text(encoding="utf-8").split("alerts:\n")[1]
    shown = [line.strip()[2:] for line in block.splitlines() if re.match(r"  # ( |expected:|channels:)", line)]
    data: dict[str, list[dict[str, object]]] = yaml.safe_load("\n".join(shown))
    return data


def test_the_example_shows_every_key_of_entries_in_lists() -> None:
    entries = shown_entries()
    by_kind = {"mail": MailChannel, "webhook": WebhookChannel, "command": CommandChannel}
    shown: dict[type[Settings], set[str]] = {Expected: set().union(*entries["expected"])}
    for entry in entries["channels"]:
        shown.setdefault(by_kind[str(entry["kind"])], set()).update(entry)
    anywhere = set().union(*shown.values())
    for model in MODELS:
        keys = set(model.model_fields)
        assert keys - shown[model] <= {"least"}, model
        assert keys <= anywhere, model


def test_the_entries_that_the_example_shows_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "center.yaml"
    text = yaml.safe_dump({"origin": "a", "alerts": shown_entries()}, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    alerts = load_config(path).alerts
    assert [channel.name for channel in alerts.channels] == ["mail", "chat", "sms"]
    assert [entry.by for entry in alerts.expected] == ["08:00", "09:30"]


def test_the_example_of_the_handbook_is_settings(tmp_path: Path) -> None:
    handbook = (EXAMPLE.parents[1] / "docs" / "operate.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\n(alerts:\n.*?)^```", handbook, re.MULTILINE | re.DOTALL)
    path = tmp_path / "center.yaml"
    path.write_text(f"origin: a\n{block}", encoding="utf-8")
    assert [entry.days for entry in load_config(path).alerts.expected] == ["daily", "monthly 3", "workdays"]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("quiet_after: 5 min", 3, "at least 600"),
        ("repeat: 1 h", 3, "at least 86400"),
        ("shrink: 100", 3, "100"),
        ("zone: Asia/Nowhere", 3, "a time zone such as"),
        ("zone: ../etc/passwd", 3, "a time zone such as"),
        ('holidays: ["2026-13-01"]', 3, "a day or days"),
        ('holidays: ["2026-10-07..2026-10-01"]', 3, "a day or days"),
        ('holidays: ["2026-01-01..2028-01-01"]', 3, "a day or days"),
        ('expected: [{by: "24:00"}]', 3, "a time of day"),
        ('expected: [{by: "08:00", days: mon-sunday}]', 3, "mon-fri"),
        ('expected: [{by: "08:00", days: monthly 31}]', 3, "monthly 3"),
        ('expected: [{by: "08:00", unit: "X 1"}]', 3, "a name or pattern"),
        ("expected: [{unit: X013}]", 3, "by is missing"),
        ("test_day: 29", 3, "at most 28"),
        ("channels: [{name: a, kind: fax}]", 3, "there is no kind fax"),
        ("channels: [{name: a, kind: command, argv: []}]", 3, "argv"),
        ("channels: [{name: a, kind: webhook, url: ftp://x}]", 3, "an address such as"),
        ("channels: [{name: a, kind: webhook, url: 'https://x', secret: hunter2}]", 3, "never the secret itself"),
        ("channels: [{name: a, kind: mail, host: h, sender: x@y, to: []}]", 3, "to"),
        ("channels: [{name: a, kind: mail, host: h, sender: nobody, to: [x@y]}]", 3, "a mail address"),
        ("channels: [{name: a, kind: mail, host: h, sender: x@y, to: [x@y], tls: none}]", 3, "on this machine"),
        ("channels: [{name: a, kind: mail, host: h, sender: x@y, to: [x@y], user: u}]", 3, "both, or neither"),
        ("channels: [{name: a, kind: command, argv: [x]}, {name: a, kind: command, argv: [x]}]", 3, "no other channel"),
    ],
)
def test_a_wrong_setting_of_alerts_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(f"origin: a\nalerts:\n  {text}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=says) as caught:
        load_config(path)
    assert caught.value.line == line
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464", "127.0.0.1", "127.0.0.1:0", "a:1"])
def test_metrics_are_shown_on_this_machine_alone(tmp_path: Path, listen: str) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(f"origin: a\nmetrics:\n  listen: '{listen}'\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="this machine alone"):
        load_config(path)


@pytest.mark.parametrize("listen", ["127.0.0.1:9464", "[::1]:9464", "localhost:9464"])
def test_metrics_may_be_shown_on_loopback(tmp_path: Path, listen: str) -> None:
    path = tmp_path / "center.yaml"
    path.write_text(f"origin: a\nmetrics:\n  listen: '{listen}'\n", encoding="utf-8")
    assert load_config(path).metrics.listen == listen


@pytest.mark.parametrize("text", ["", "a", ":1", "a:", "a:-1", "a:01", "a:١", "::1:80", "[::1]", "a b:1", "a:99999"])
def test_an_address_has_one_form(text: str) -> None:
    with pytest.raises(ValueError):
        parse_listen(text)
