# SPDX-License-Identifier: Apache-2.0
r"""The agent under Windows' service manager: installed, started, removed; whose its folder is. Uses pywin32.

    service    JinsuoAgent, automatic and delayed, an account of its own (`NT SERVICE\JinsuoAgent`) unless another is named
    failure    started anew after 1 minute, 1 minute, 10 minutes and so on; the count is forgotten after a day
    folder     SYSTEM, administrators and the *service* may do everything in it, nobody else anything (`taking`)

The folder's list names the service's own SID and not an account. Windows puts that SID into the service's token whatever
account it runs as (`SERVICE_SID_TYPE_UNRESTRICTED`), so a change of the account loses nothing. Source: "Service Security
IDs" and "ChangeServiceConfig2" in the Windows API; [MS-DTYP] 2.5.1 for SDDL.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.errors import ServiceError
from agent.service.taking import begin_taking, find_above, open_door, take_folder
from terminal.language import Text
from terminal.service.base import ServiceState

NAME = "JinsuoAgent"
TITLE = "Jinsuo agent (金锁采集端)"
ABOUT = "Takes consistent snapshots of live systems and registers them at the archives."
OWN_ACCOUNT = f"NT SERVICE\\{NAME}"
START_WAIT_S = 60
STOP_WAIT_S = 60
_MINUTE_MS = 60_000
_DAY_S = 86_400
# winerror.h
_ACCESS_DENIED, _INVALID_LEVEL, _ALREADY_RUNNING, _NO_SUCH_SERVICE, _NOT_ACTIVE = 5, 124, 1056, 1060, 1062


def service_sid(name: str) -> str:
    r"""Give the SID of `NT SERVICE\name`: five numbers of the SHA-1 of the name in capitals, UTF-16.

    >>> service_sid("TrustedInstaller")
    'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'
    """
    digest = hashlib.sha1(name.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    parts = [int.from_bytes(digest[at : at + 4], "little") for at in range(0, 20, 4)]
    return "S-1-5-80-" + "-".join(str(part) for part in parts)


def host_command(folder: Path) -> str:
    """Give the command line with which the service manager starts the daemon."""
    return subprocess.list2cmdline([sys.executable, "-X", "utf8", "-m", "agent.cli.hosted", str(folder)])


class WindowsService:
    """The service. `ask_password` gives the password of another account than a service's own."""

    name = NAME

    def __init__(self, folder: Path, user: str | None, ask_password: Callable[[str], str]) -> None:
        self._folder = folder.absolute()
        self._user = user
        self._ask_password = ask_password

    def install(self) -> Sequence[Text]:
        """Take the folder for the service, and make or change that. Raises: ServiceError."""
        import win32service as ws

        # Hosting the service begins with this file, and cannot wait for all that settings take.
        from agent.config import CONFIG_NAME

        if not (self._folder / CONFIG_NAME).is_file():
            raise ServiceError(
                Text(zh=f"{self._folder} 中没有 {CONFIG_NAME}", en=f"there is no {CONFIG_NAME} in {self._folder}"),
                hint=Text(zh="先运行 init，或用 -C 指明目录", en="run `init` first, or name the folder with -C"),
            )
        # Before there is a service that could heed what a stranger has put there.
        take_for_service(self._folder, self.state().account)
        # Nothing given: a new service gets its own account, an installed one keeps what it has.
        password = self._password(self._user) if self._user else None
        with _told(), _manager(ws.SC_MANAGER_ALL_ACCESS) as manager:
            found = _find(manager, ws.SERVICE_ALL_ACCESS)
            if found is None:
                found = ws.CreateService(
                    manager, NAME, TITLE, ws.SERVICE_ALL_ACCESS, ws.SERVICE_WIN32_OWN_PROCESS, ws.SERVICE_AUTO_START,
                    ws.SERVICE_ERROR_NORMAL, host_command(self._folder), None, False, None, self._user or OWN_ACCOUNT,
                    password,
                )  # fmt: skip
            else:
                ws.ChangeServiceConfig(
                    found, ws.SERVICE_NO_CHANGE, ws.SERVICE_AUTO_START, ws.SERVICE_NO_CHANGE,
                    host_command(self._folder), None, False, None, self._user, password, TITLE,
                )  # fmt: skip
            with _closing(found):
                notes = _configure(found)
        _register_events()
        return notes

    def start(self) -> None:
        """Start it, and wait until it runs."""
        import win32service as ws
        import win32serviceutil as wsu

        with _told(ignore=_ALREADY_RUNNING):
            wsu.StartService(NAME)
        with _told():
            wsu.WaitForServiceStatus(NAME, ws.SERVICE_RUNNING, START_WAIT_S)

    def stop(self) -> None:
        """Stop it, and wait until it has."""
        import win32service as ws
        import win32serviceutil as wsu

        with _told(ignore=_NOT_ACTIVE):
            wsu.StopService(NAME)
        with _told():
            wsu.WaitForServiceStatus(NAME, ws.SERVICE_STOPPED, STOP_WAIT_S)

    def state(self) -> ServiceState:
        """Ask the service manager."""
        import win32service as ws

        with _told(), _manager(ws.SC_MANAGER_CONNECT) as manager:
            found = _find(manager, ws.SERVICE_QUERY_STATUS | ws.SERVICE_QUERY_CONFIG)
            if found is None:
                return ServiceState(NAME, False, False, False, "unknown", "")
            with _closing(found):
                current = ws.QueryServiceStatus(found)[1]
                _, start_type, _, command, _, _, _, account, _ = ws.QueryServiceConfig(found)
        return ServiceState(
            name=NAME,
            is_installed=True,
            is_running=current == ws.SERVICE_RUNNING,
            starts_at_boot=start_type == ws.SERVICE_AUTO_START,
            state=_STATES.get(current, str(current)),
            account=account,
            is_current=command == host_command(self._folder),
        )

    def uninstall(self) -> Sequence[Path]:
        """Stop and remove it; the folder stays."""
        import win32service as ws

        if not self.state().is_installed:
            return []
        self.stop()
        with _told(), _manager(ws.SC_MANAGER_ALL_ACCESS) as manager:
            found = _find(manager, ws.SERVICE_ALL_ACCESS)
            if found is not None:
                with _closing(found):
                    ws.DeleteService(found)
        return [self._folder] if self._folder.exists() else []

    def _password(self, account: str) -> str | None:
        """Ask for the account's password, unless it is one that has none: a service's, the system's, a managed one."""
        has_none = account.upper().startswith(("NT SERVICE\\", "NT AUTHORITY\\")) or account.endswith("$")
        return None if has_none or account.casefold() == "localsystem" else self._ask_password(account)


_STATES = {
    1: "STOPPED", 2: "START_PENDING", 3: "STOP_PENDING", 4: "RUNNING", 5: "CONTINUE_PENDING", 6: "PAUSE_PENDING",
    7: "PAUSED",
}  # fmt: skip


def take_for_service(folder: Path, account: str = "") -> None:
    """Take `folder` for SYSTEM, administrators and the service, making it if it is not there; who is no administrator cannot.

    `account`: which the service has run as, whose files are believed. Raises: ServiceError.
    """
    folder = folder.absolute()
    with _told():
        installer = {begin_taking(), *_find_sid(account)}
        take_folder(folder, find_above(folder, os.environ), service_sid(NAME), installer, open_door)


def _find_sid(account: str) -> list[str]:
    """Find the SID of an account as the service manager calls it."""
    import pywintypes
    import win32security as security

    if not account:
        return []
    try:
        sid = security.LookupAccountName(None, account.removeprefix(".\\"))[0]
    except pywintypes.error:
        return []
    return [str(security.ConvertSidToStringSid(sid))]


def _configure(service: Any) -> list[Text]:  # Any: pywin32's handle
    """Say what CreateService has no words for; give what this Windows does not know."""
    import pywintypes
    import win32service as ws

    again = ws.SC_ACTION_RESTART
    actions = [(again, _MINUTE_MS), (again, _MINUTE_MS), (again, 10 * _MINUTE_MS)]
    failure = {"ResetPeriod": _DAY_S, "RebootMsg": "", "Command": "", "Actions": actions}
    wishes: tuple[tuple[int, object, Text], ...] = (
        (ws.SERVICE_CONFIG_DESCRIPTION, ABOUT, Text(zh="说明", en="a description")),
        (ws.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, True, Text(zh="延迟启动", en="a delayed start")),
        (ws.SERVICE_CONFIG_SERVICE_SID_INFO, ws.SERVICE_SID_TYPE_UNRESTRICTED, _SID_WISH),
        (ws.SERVICE_CONFIG_FAILURE_ACTIONS, failure, Text(zh="失败后重启", en="a restart after a failure")),
        # Also when it ends by itself with an error, not only when it crashes.
        (
            ws.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG,
            True,
            Text(zh="出错退出后重启", en="a restart after it ended with an error"),
        ),
    )
    notes: list[Text] = []
    for level, wish, what in wishes:
        try:
            ws.ChangeServiceConfig2(service, level, wish)
        except pywintypes.error as err:
            if err.winerror != _INVALID_LEVEL:
                raise
            notes.append(Text(zh=f"注意：这个系统不支持{what.zh}", en=f"note: this system does not know {what.en}"))
    return notes


_SID_WISH = Text(
    zh="服务自己的 SID：若更换服务账户，须把目录授权给新账户",
    en="a service's own SID: whoever changes its account has to give that account the folder",
)


def _register_events() -> None:
    """Let the event viewer find the texts of our events."""
    import servicemanager
    import win32evtlogutil

    with _told():
        win32evtlogutil.AddSourceToRegistry(NAME, servicemanager.__file__, "Application")


@contextmanager
def _manager(access: int) -> Iterator[Any]:
    import win32service as ws

    manager = ws.OpenSCManager(None, None, access)
    with _closing(manager):
        yield manager


@contextmanager
def _closing(handle: Any) -> Iterator[None]:
    import win32service as ws

    try:
        yield
    finally:
        ws.CloseServiceHandle(handle)


def _find(manager: Any, access: int) -> Any:
    """Open the service; None if there is none."""
    import pywintypes
    import win32service as ws

    try:
        return ws.OpenService(manager, NAME, access)
    except pywintypes.error as err:
        if err.winerror == _NO_SUCH_SERVICE:
            return None
        raise


@contextmanager
def _told(ignore: int | None = None) -> Iterator[None]:
    """Turn what Windows refuses into our error. Raises: ServiceError, unless it is `ignore`."""
    import pywintypes

    try:
        yield
    except pywintypes.error as err:
        if err.winerror == ignore:
            return
        raise ServiceError(
            Text(
                zh=f"Windows 拒绝 {err.funcname}：{err.strerror}（{err.winerror}）",
                en=f"Windows refused {err.funcname}: {err.strerror} ({err.winerror})",
            ),
            hint=_HINTS.get(err.winerror, _LOOK),
        ) from err


_LOOK = Text(
    zh="原因见事件查看器（应用程序）与数据目录中的 logs\\service.log",
    en=r"the event viewer (Application) and logs\service.log in the agent's folder have the reasons",
)
_HINTS = {
    _ACCESS_DENIED: Text(zh="以管理员身份运行", en="run it as an administrator"),
    _NO_SUCH_SERVICE: Text(zh="先运行 `jinsuo-agent service install`", en="run `jinsuo-agent service install` first"),
}
