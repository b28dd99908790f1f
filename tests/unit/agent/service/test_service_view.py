# SPDX-License-Identifier: Apache-2.0
"""What `check --as-service` says of the service itself, and that it becomes the service's account."""

from pathlib import Path

import pytest

from agent.finding import Finding, Severity
from agent.service.view import examine_service
from terminal.service.base import ServiceState


def state(*, installed: bool = True, current: bool = True, account: str = "jinsuo-agent") -> ServiceState:
    return ServiceState("jinsuo-agent", installed, True, True, "active", account, current)


def examine(
    of: ServiceState, root: Path, *names: str, account: str = "root", can: bool = True
) -> tuple[list[Finding], list[str]]:
    became: list[str] = []
    found = examine_service(of, lambda: names, account, became.append if can else None, root)
    return list(found), became


def test_check_becomes_the_services_account(tmp_path: Path) -> None:
    findings, became = examine(state(), tmp_path)
    assert became == ["jinsuo-agent"]
    assert [finding.severity for finding in findings] == [Severity.OK, Severity.OK]


def test_who_cannot_become_it_is_told_that_rights_may_differ(tmp_path: Path) -> None:
    findings, became = examine(state(), tmp_path, account="zhang", can=False)
    assert became == []
    assert findings[-1].severity is Severity.NOT_EXAMINED


@pytest.mark.parametrize("account", ["jinsuo-agent", r".\JINSUO-agent", r"NT SERVICE\jinsuo-agent"])
def test_who_is_the_account_already_becomes_nobody(account: str, tmp_path: Path) -> None:
    findings, became = examine(state(), tmp_path, account=account)
    assert (became, len(findings)) == ([], 1)


def test_service_that_is_not_there_or_too_old_is_a_warning(tmp_path: Path) -> None:
    missing, became = examine(state(installed=False), tmp_path)
    assert ([finding.severity for finding in missing], became) == ([Severity.WARN], [])
    old, _ = examine(state(current=False), tmp_path)
    assert old[0].severity is Severity.WARN


@pytest.mark.parametrize(
    ("mode", "severity"),
    [(0o600, Severity.OK), (0o640, Severity.FAIL), (None, Severity.WARN)],
    ids=["kept", "open", "missing"],
)
def test_credential_must_be_there_for_root_alone(mode: int | None, severity: Severity, tmp_path: Path) -> None:
    path = tmp_path / "etc/credstore/jinsuo-agent.his"
    path.parent.mkdir(parents=True)
    if mode is not None:
        path.write_text("planted")
        path.chmod(mode)
    findings, _ = examine(state(), tmp_path, "his")
    assert findings[1].severity is severity
    assert "planted" not in str(findings[1])
