# SPDX-License-Identifier: Apache-2.0
"""The status page: read over a real socket, by people in two languages and by machines; by nobody from elsewhere."""

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.health.desk import HealthDesk
from agent.outcome import AgentStatus
from terminal.language import Language
from tests.fakes.agent import NOW, FakeAgent


class _Looks:
    """What the desk sees, and how often it looked."""

    def __init__(self, status: AgentStatus) -> None:
        self.status = status
        self.count = 0
        self.moment = 0.0

    def __call__(self) -> AgentStatus:
        self.count += 1
        return self.status


@pytest.fixture
def looks() -> _Looks:
    return _Looks(FakeAgent().status())


@pytest.fixture
def ask(looks: _Looks) -> Iterator[Callable[..., tuple[int, str]]]:
    desk = HealthDesk("127.0.0.1:0", looks, lambda: NOW, lambda: looks.moment)
    assert desk.port is not None

    def get(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", desk.port or 0, timeout=60)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        assert answer.status != 200 or "default-src 'none'" in answer.headers["Content-Security-Policy"]
        connection.close()
        return answer.status, body

    yield get
    desk.close()


def test_people_see_every_source_in_their_language(ask: Callable[..., tuple[int, str]]) -> None:
    status, english = ask("/", **{"Accept-Language": "en-GB"})
    assert status == 200
    assert "1 d 2 h" in english
    assert "no rights" in english
    assert "his#412" in english
    assert "来源" in ask("/", **{"Accept-Language": "zh-CN,zh;q=0.9"})[1]


def test_language_of_the_settings_goes_before_the_browsers(looks: _Looks) -> None:
    desk = HealthDesk("127.0.0.1:0", looks, lambda: NOW, lambda: 0.0, Language.ZH)
    try:
        assert "来源" in desk._show("en").body.decode()
    finally:
        desk.close()


def test_names_and_reasons_cannot_bring_markup(looks: _Looks, ask: Callable[..., tuple[int, str]]) -> None:
    bad = replace(looks.status.sources[1], source="<b>", last_error="<script>alert(1)</script>\x1b[2J")
    looks.status = replace(looks.status, sources=(bad,))
    page = ask("/")[1]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_machines_get_what_status_json_prints(ask: Callable[..., tuple[int, str]]) -> None:
    document = json.loads(ask("/status.json")[1])
    assert document["unit"] == "X013"
    assert document["sources"][0]["lag_seconds"] == 26 * 3600
    assert document["sources"][0]["taken_at"] == "2025-07-01T01:02:03Z"


def test_prometheus_gets_figures_with_labels(ask: Callable[..., tuple[int, str]]) -> None:
    figures = ask("/metrics")[1]
    assert 'jinsuo_agent_source_lag_seconds{source="his"} 93600\n' in figures
    assert 'jinsuo_agent_source_lag_seconds{source="lis"}' not in figures, "it was never stored"
    assert "# TYPE jinsuo_agent_spool_bytes gauge\njinsuo_agent_spool_bytes 1048576\n" in figures


def test_many_that_ask_at_once_are_told_what_was_so_a_moment_ago(
    looks: _Looks, ask: Callable[..., tuple[int, str]]
) -> None:
    for _ in range(5):
        ask("/metrics")
    assert looks.count == 1
    looks.moment = 5.0
    ask("/")
    assert looks.count == 2


@pytest.mark.parametrize(
    ("path", "method", "host", "status"),
    [
        ("/", "GET", "localhost:1", 200), ("/", "GET", "[::1]:1", 200), ("/", "HEAD", "127.0.0.1", 200),
        ("/", "GET", "evil.example", 421), ("/", "GET", "10.0.0.1", 421), ("/", "GET", "[::1", 421),
        ("/agent.yaml", "GET", "localhost", 404), ("/../agent.yaml", "GET", "localhost", 404),
        ("/", "POST", "localhost", 501), ("/", "DELETE", "localhost", 501),
    ],
)  # fmt: skip
def test_only_pages_are_given_and_only_to_who_names_this_machine(
    ask: Callable[..., tuple[int, str]], path: str, method: str, host: str, status: int
) -> None:
    assert ask(path, method, Host=host)[0] == status


def test_page_that_fails_is_told_and_the_next_one_answers(looks: _Looks, ask: Callable[..., tuple[int, str]]) -> None:
    status = looks.status
    looks.status = None  # type: ignore[assignment]  # whatever goes wrong behind a page
    assert ask("/")[0] == 500
    looks.status, looks.moment = status, 10.0
    assert ask("/")[0] == 200


def test_address_that_is_taken_does_not_end_the_daemon(looks: _Looks) -> None:
    first = HealthDesk("127.0.0.1:0", looks, lambda: NOW, lambda: 0.0)
    second = HealthDesk(f"127.0.0.1:{first.port}", looks, lambda: NOW, lambda: 0.0)
    assert second.port is None
    second.step(NOW)
    second.close()
    first.close()


def test_after_a_run_the_next_who_asks_hears_of_it(looks: _Looks, tmp_path: Path) -> None:
    desk = HealthDesk("127.0.0.1:0", looks, lambda: NOW, lambda: 0.0)
    desk._describe("")
    desk.on_run(object())
    desk._describe("")
    desk.close()
    assert looks.count == 2
