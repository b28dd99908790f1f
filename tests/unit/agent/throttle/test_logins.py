# SPDX-License-Identifier: Apache-2.0
"""Two refused logins stop the third, until the account or its secret is another."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.collectors.base import Finding, Severity, View
from agent.errors import LoginError, LoginsStoppedError, SourceDownError
from agent.logins import LoginGuard
from agent.snapshot.attended import GuardedCollector
from terminal.language import Text

LOGIN = ("postgresql", "db", "5432", "hospital", "jinsuo", "hunter2")


class Source:
    """A collector whose logins are refused while `refusal` is set. `tried` counts them."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.tried = 0

    @contextmanager
    def open_view(self) -> Iterator[View]:
        self._log_in()
        yield None  # type: ignore[misc]  # nobody reads it

    def check(self) -> Sequence[Finding]:
        try:
            self._log_in()
        except (LoginError, SourceDownError) as err:
            return [Finding(Severity.FAIL, "db", str(err), err.hint, code=err.code)]
        return [Finding(Severity.OK, "db", "fine")]

    def grants(self) -> Text:
        return Text(zh="GRANT\n", en="GRANT\n")

    def _log_in(self) -> None:
        self.tried += 1
        if self.refusal is not None:
            raise self.refusal


def _guarded(source: Source, folder: Path, login: tuple[str, ...] = LOGIN) -> GuardedCollector:
    return GuardedCollector(source, LoginGuard(folder, "his", login, "secret:his"))


def _open(collector: GuardedCollector) -> None:
    with collector.open_view():
        pass


@pytest.fixture
def source() -> Source:
    source = Source()
    source.refusal = LoginError("wrong password", hint="set it")
    return source


def _refuse_twice(source: Source, folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(LoginError, match="wrong password"):
            _open(_guarded(source, folder))


def test_third_login_is_not_tried_by_any_act(source: Source, tmp_path: Path) -> None:
    _refuse_twice(source, tmp_path)
    with pytest.raises(LoginsStoppedError, match="refused 2 times") as caught:
        _open(_guarded(source, tmp_path))
    assert "jinsuo-agent secret set his" in caught.value.hint
    assert "--retry-login" in caught.value.hint
    (finding,) = _guarded(source, tmp_path).check()
    assert (finding.severity, finding.code) == (Severity.FAIL, "JS-2105")
    assert source.tried == 2


def test_refusals_that_check_met_count_like_any_other(source: Source, tmp_path: Path) -> None:
    for _ in range(2):
        (finding,) = _guarded(source, tmp_path).check()
        assert finding.code == LoginError.code
    with pytest.raises(LoginsStoppedError):
        _open(_guarded(source, tmp_path))
    assert source.tried == 2


@pytest.mark.parametrize("place", range(1, len(LOGIN)))
def test_another_secret_account_or_server_is_tried_again(source: Source, tmp_path: Path, place: int) -> None:
    _refuse_twice(source, tmp_path)
    source.refusal = None
    other = (*LOGIN[:place], "another", *LOGIN[place + 1 :])
    _open(_guarded(source, tmp_path, other))
    assert source.tried == 3


def test_login_that_succeeds_ends_the_count(source: Source, tmp_path: Path) -> None:
    refusal = source.refusal
    for act in (_open, GuardedCollector.check):
        with pytest.raises(LoginError):
            _open(_guarded(source, tmp_path))
        source.refusal = None
        act(_guarded(source, tmp_path))
        source.refusal = refusal
    with pytest.raises(LoginError, match="wrong password"):
        _open(_guarded(source, tmp_path))


def test_server_that_is_down_neither_counts_nor_ends_the_count(source: Source, tmp_path: Path) -> None:
    refusal = source.refusal
    with pytest.raises(LoginError):
        _open(_guarded(source, tmp_path))
    source.refusal = SourceDownError("gone", hint="wait")
    for _ in range(3):
        with pytest.raises(SourceDownError):
            _open(_guarded(source, tmp_path))
        _guarded(source, tmp_path).check()
    source.refusal = refusal
    with pytest.raises(LoginError, match="wrong password"):
        _open(_guarded(source, tmp_path))
    with pytest.raises(LoginsStoppedError):
        _open(_guarded(source, tmp_path))


def test_error_within_an_open_view_is_no_refusal(source: Source, tmp_path: Path) -> None:
    source.refusal = None
    for _ in range(3):
        with pytest.raises(LoginError), _guarded(source, tmp_path).open_view():
            raise LoginError("another session of the view", hint="x")
    _open(_guarded(source, tmp_path))


def test_word_of_a_person_lets_it_be_tried_once_more(source: Source, tmp_path: Path) -> None:
    _refuse_twice(source, tmp_path)
    guard = LoginGuard(tmp_path, "his", LOGIN, "secret:his")
    guard.clear()
    guard.clear()
    _refuse_twice(source, tmp_path)
    with pytest.raises(LoginsStoppedError):
        guard.check()


def test_what_is_kept_does_not_hold_the_secret_and_is_for_the_owner_alone(source: Source, tmp_path: Path) -> None:
    _refuse_twice(source, tmp_path)
    path = tmp_path / "logins" / "his.json"
    raw = path.read_bytes()
    assert not any(part.encode() in raw for part in ("hunter2", "hospital", b"hunter2".hex()))
    assert path.stat().st_mode & 0o077 == 0
    first = json.loads(raw)
    LoginGuard(tmp_path, "his", LOGIN, None).note_refusal()
    second = json.loads(path.read_bytes())
    assert first["salt"] != second["salt"]
    assert second["refusals"] == 3


@pytest.mark.parametrize("damage", [b"", b"{}", b"null", b'{"salt": "zz", "credentials": "", "refusals": 9}'])
def test_damaged_count_begins_anew(tmp_path: Path, damage: bytes) -> None:
    guard = LoginGuard(tmp_path, "his", LOGIN, "env:PW")
    guard.note_refusal()
    (tmp_path / "logins" / "his.json").write_bytes(damage)
    guard.check()
    guard.note_refusal()
    guard.note_refusal()
    with pytest.raises(LoginsStoppedError) as caught:
        guard.check()
    assert "env:PW" in caught.value.hint


def test_source_without_a_login_is_passed_through(source: Source) -> None:
    collector = GuardedCollector(source, None)
    for _ in range(4):
        with pytest.raises(LoginError, match="wrong password"):
            _open(collector)
    assert source.tried == 4
    assert collector.grants().en == "GRANT\n"
