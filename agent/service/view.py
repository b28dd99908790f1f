# SPDX-License-Identifier: Apache-2.0
"""What the service's account will see: whether it is installed as the settings ask, and this process turned into it.

`check --as-service` as root becomes the account before anything is examined, for good; so rights of files, logins by an
account's name and the folder's owner are the service's, and not root's. What systemd closes besides is the unit's text,
whose age is told. Findings and one act; knows no collector.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.finding import Finding, Severity
from agent.service.systemd import NAME
from terminal.language import Text
from terminal.service.base import ServiceState
from terminal.service.unit import credential_file

SUBJECT = "service"


def examine_service(
    state: ServiceState,
    credentials: Callable[[], Sequence[str]],
    account: str,
    become: Callable[[str], None] | None,
    root: Path = Path("/"),
) -> Sequence[Finding]:
    """Examine the service, then become its account if `become` can; `account` is the one of this process.

    `credentials` gives the names that the settings refer to, and is asked only of an installed service.
    """
    if not state.is_installed:
        return [
            Finding(
                Severity.WARN,
                SUBJECT,
                Text(zh="没有安装为服务", en="it is not installed as a service"),
                Text(zh="运行 `jinsuo-agent service install`", en="run `jinsuo-agent service install`"),
            )
        ]
    findings = [
        _examine_age(state),
        *(_examine_credential(name, root) for name in credentials()),
    ]
    if _is_same(state.account, account):
        return findings
    if become is None:
        return [*findings, _seen_by_another(state, account)]
    become(state.account)
    return [
        *findings,
        Finding(Severity.OK, SUBJECT, Text(zh=f"以账户 {state.account} 检查", en=f"examined as {state.account}")),
    ]


def current_account() -> str:
    """Give the name of this process's account."""
    if sys.platform == "win32":
        return os.environ.get("USERDOMAIN", "") + "\\" + os.environ.get("USERNAME", "")
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _is_same(one: str, other: str) -> bool:
    """Compare two accounts by their last part: Windows puts the machine's or domain's name before it, or a dot."""
    return one.casefold().rpartition("\\")[2] == other.casefold().rpartition("\\")[2]


def _examine_age(state: ServiceState) -> Finding:
    if state.is_current:
        text = Text(zh=f"已安装，账户 {state.account}", en=f"installed, as {state.account}")
        return Finding(Severity.OK, SUBJECT, text)
    return Finding(
        Severity.WARN,
        SUBJECT,
        Text(zh="安装时的服务定义已不合现在的配置", en="what is installed is not what the settings ask for now"),
        Text(
            zh="重新运行 `jinsuo-agent service install` 并重启服务，否则它可能看不到新来源",
            en="run `jinsuo-agent service install` again and restart it, or it may not see a new source",
        ),
    )


def _examine_credential(name: str, root: Path) -> Finding:
    named = credential_file(NAME, name)
    path, subject = root / str(named).lstrip("/"), f"credential:{name}"
    try:
        state = path.stat()
    except PermissionError:
        text = Text(zh=f"本账户看不到 {named}", en=f"this account cannot see {named}")
        return Finding(Severity.NOT_EXAMINED, subject, text, Text(zh="以 root 检查", en="check as root"))
    except OSError:
        return Finding(
            Severity.WARN,
            subject,
            Text(zh=f"没有 {named}", en=f"there is no {named}"),
            Text(
                zh="没有它，服务不会启动；除非另有 drop-in 从别处载入",
                en="without it the service does not start, unless a drop-in loads it from elsewhere",
            ),
        )
    if state.st_mode & 0o077:
        return Finding(
            Severity.FAIL,
            subject,
            Text(zh=f"{named} 其他账户也能读写", en=f"other accounts can use {named}"),
            Text(zh=f"运行 `chmod 600 {named}`，并更换口令", en=f"run `chmod 600 {named}` and change the password"),
        )
    return Finding(Severity.OK, subject, Text(zh=f"由 systemd 从 {named} 载入", en=f"systemd loads it from {named}"))


def _seen_by_another(state: ServiceState, account: str) -> Finding:
    return Finding(
        Severity.NOT_EXAMINED,
        SUBJECT,
        Text(
            zh=f"以 {account} 检查，而服务以 {state.account} 运行：目录、文件和数据库登录的权限可能不同",
            en=f"examined as {account}, and the service runs as {state.account}, whose rights may differ",
        ),
        Text(
            zh="Linux 上以 root 运行；Windows 上以该账户运行", en="run it as root on Linux, as that account on Windows"
        ),
    )
