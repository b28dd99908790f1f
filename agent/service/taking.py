# SPDX-License-Identifier: Apache-2.0
r"""The agent's folder on Windows is taken for SYSTEM, administrators and the service, before anything in it is believed.

Every user may make folders in C:\ProgramData, and who has made one owns it, and may do with it what he likes for ever.
Settings that he put there could name commands, which the service would run. So, in this order:

    1. each folder between ProgramData and the agent's    strangers are shut out
    2. the agent's folder                                 strangers are shut out, and the service, too
    3. all that is in it, a folder before its names       whose is it? A stranger's is refused by its name; all else is taken
    4. the agent's folder again                           the service is let in

A stranger's folder with nothing in it is removed and made anew, for he may still have it open. No link is followed. What was
refused stays shut; and as the service is let in last, a folder that lets it in is one in which all was looked at: later
installations believe it, whoever has run the service since. Pure but for `open_door` and below, which use pywin32.
Source: [MS-DTYP] 2.5.1 for SDDL; decision 0090.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from agent.errors import ServiceError
from terminal.language import Text

SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"

_OWNER: Final = "O:BA"
_ITSELF: Final = ("SY", "BA")
# winnt.h
_READ_CONTROL, _WRITE_DAC, _WRITE_OWNER, _SHARE_ALL, _OPEN_EXISTING = 0x20000, 0x40000, 0x80000, 7, 3
_NOT_WHERE_IT_LEADS: Final = 0x02000000 | 0x00200000
"""FILE_FLAG_BACKUP_SEMANTICS, which folders need, and FILE_FLAG_OPEN_REPARSE_POINT."""
_IS_FOLDER, _IS_LINK = 0x10, 0x400
_PRIVILEGES: Final = ("SeBackupPrivilege", "SeRestorePrivilege", "SeTakeOwnershipPrivilege")


class Door(Protocol):
    """A file or folder that was opened itself, not where it may lead.

    `owner` is a SID, `dacl` SDDL; `names`: under how many names a file is known.
    """

    owner: str
    dacl: str
    is_folder: bool
    is_link: bool
    names: int

    def give(self, sddl: str) -> None:
        """Set owner and access list, of it alone. Raises: what the system refuses by."""

    def name_owner(self) -> str:
        """Give the owner's name for people."""


Open: TypeAlias = Callable[[Path], AbstractContextManager[Door]]


def folder_sddl(service: str | None) -> str:
    """Give owner and access list of the agent's folder: inherited by all in it, inheriting nothing itself.

    `service` is its SID; None: it is not let in yet.
    """
    return f"{_OWNER}D:P" + _write_list("OICI", service)


def content_sddl(service: str, *, is_folder: bool) -> str:
    """Give owner and access list of what is in the agent's folder: just what it inherits."""
    return f"{_OWNER}D:ARAI" + _write_list("OICIID" if is_folder else "ID", service)


def is_taken(owner: str, dacl: str, service: str) -> bool:
    """Tell whether a folder was taken for the service before: only administrators can make it look so."""
    return owner in (SYSTEM, ADMINISTRATORS) and dacl.startswith("D:P") and f";FA;;;{service})" in dacl


def find_above(folder: Path, environ: Mapping[str, str]) -> list[Path]:
    """Give the folders between ProgramData, where everybody may make folders, and `folder`, outermost first."""
    shared = environ.get("ProgramData")
    if not shared:
        return []
    return [each for each in reversed(folder.parents) if Path(shared) in each.parents]


def take_folder(folder: Path, above: Sequence[Path], service: str, installer: Collection[str], open_door: Open) -> None:
    """Take `folder`, making it if it is not there, and all that is in it for the service (a SID) and administrators.

    `installer`: SIDs that are believed besides. Raises: ServiceError for what a stranger has put there; OSError, and what
    `open_door` raises.
    """
    believed = frozenset((SYSTEM, ADMINISTRATORS, service, *installer))
    for each in above:
        _shut(each, folder_sddl(service), believed, open_door)
    if folder.is_dir():
        with open_door(folder) as door:
            if not door.is_link and is_taken(door.owner, door.dacl, service):
                return
    _shut(folder, folder_sddl(None), believed, open_door)
    _take_content(folder, service, believed, open_door)
    with open_door(folder) as door:
        door.give(folder_sddl(service))


def _shut(folder: Path, sddl: str, believed: Collection[str], open_door: Open) -> None:
    """Have a folder that no stranger can do anything with any more."""
    if os.path.lexists(folder):
        with open_door(folder) as door:
            _refuse_link(folder, door)
            is_strange = door.owner not in believed
        if is_strange:
            # Empty it is of no worth, and whoever has it open has rights in it that no list takes away.
            with suppress(OSError):
                folder.rmdir()
    folder.mkdir(parents=True, exist_ok=True)
    with open_door(folder) as door:
        _refuse_link(folder, door)
        door.give(sddl)


def _take_content(folder: Path, service: str, believed: Collection[str], open_door: Open) -> None:
    for path in sorted(folder.iterdir()):
        with open_door(path) as door:
            if door.owner not in believed:
                raise _refusal(path, Text(zh=f"属于 {door.name_owner()}", en=f"belongs to {door.name_owner()}"))
            if door.is_link:
                # An administrator's: the spool may lie on another volume.
                continue
            if not door.is_folder and door.names > 1:
                raise _refusal(path, Text(zh="在别处还有名称（硬链接）", en="has another name elsewhere (a hard link)"))
            door.give(content_sddl(service, is_folder=door.is_folder))
            is_folder = door.is_folder
        if is_folder:
            _take_content(path, service, believed, open_door)


def _refuse_link(folder: Path, door: Door) -> None:
    if door.is_link:
        raise ServiceError(
            Text(zh=f"{folder} 是指向别处的链接", en=f"{folder} is a link to elsewhere"),
            hint=Text(
                zh="删除这个链接；要放在别处，用 -C 指明目录本身",
                en="remove the link; to have the folder elsewhere, name the folder itself with -C",
            ),
        )


def _refusal(path: Path, why: Text) -> ServiceError:
    return ServiceError(
        Text(
            zh=f"{path} 在安装之前就有，{why.zh}：服务不能听从它",
            en=f"{path} was there before the installation and {why.en}: the service must not heed it",
        ),
        hint=Text(
            zh=f'查明是谁放的；若不是你的，删除它，否则用 `takeown /a /f "{path}"` 收归管理员；然后重新安装',
            en="find out who put it there; remove it, or if it is yours, give it to the administrators with "
            f'`takeown /a /f "{path}"`; then install again',
        ),
    )


def _write_list(flags: str, service: str | None) -> str:
    return "".join(f"(A;{flags};FA;;;{who})" for who in (*_ITSELF, *([service] if service else [])))


class _Opened:
    """A door of Windows', by its handle."""

    def __init__(self, handle: Any) -> None:  # Any: pywin32's handle
        import win32file
        import win32security as security

        self._handle = handle
        facts = win32file.GetFileInformationByHandle(handle)
        self.is_folder, self.is_link = bool(facts[0] & _IS_FOLDER), bool(facts[0] & _IS_LINK)
        self.names = int(facts[7])
        which = security.OWNER_SECURITY_INFORMATION | security.DACL_SECURITY_INFORMATION
        described = security.GetKernelObjectSecurity(handle, which)
        self._sid = described.GetSecurityDescriptorOwner()
        self.owner = str(security.ConvertSidToStringSid(self._sid))
        self.dacl = str(
            security.ConvertSecurityDescriptorToStringSecurityDescriptor(
                described, security.SDDL_REVISION_1, security.DACL_SECURITY_INFORMATION
            )
        )

    def give(self, sddl: str) -> None:
        import win32security as security

        # Of this one alone: what the system would pass on to all below it, it would pass on through links.
        security.SetKernelObjectSecurity(
            self._handle,
            security.OWNER_SECURITY_INFORMATION | security.DACL_SECURITY_INFORMATION,
            security.ConvertStringSecurityDescriptorToSecurityDescriptor(sddl, security.SDDL_REVISION_1),
        )

    def name_owner(self) -> str:
        import pywintypes
        import win32security as security

        try:
            name, domain, _ = security.LookupAccountSid(None, self._sid)
        except pywintypes.error:
            return self.owner
        return f"{domain}\\{name}"


@contextmanager
def open_door(path: Path) -> Iterator[Door]:
    """Open a file or folder itself, to see and set whose it is. Raises: pywintypes.error."""
    import win32file

    handle = win32file.CreateFile(
        str(path),
        _READ_CONTROL | _WRITE_DAC | _WRITE_OWNER,
        _SHARE_ALL,
        None,
        _OPEN_EXISTING,
        _NOT_WHERE_IT_LEADS,
        None,
    )
    try:
        yield _Opened(handle)
    finally:
        handle.Close()


def begin_taking() -> str:
    """Let this process open what its administrator may take; give his SID. Raises: pywintypes.error."""
    import win32api
    import win32security as security

    token = security.OpenProcessToken(
        win32api.GetCurrentProcess(), security.TOKEN_ADJUST_PRIVILEGES | security.TOKEN_QUERY
    )
    # Of this machine. The stubs know less than pywin32's own documentation.
    found = [security.LookupPrivilegeValue(None, name) for name in _PRIVILEGES]  # type: ignore[arg-type]  # the stubs are wrong, as said
    wanted = [(each, security.SE_PRIVILEGE_ENABLED) for each in found]
    security.AdjustTokenPrivileges(token, False, wanted)  # type: ignore[arg-type]  # the stubs are wrong, as said
    return str(security.ConvertSidToStringSid(security.GetTokenInformation(token, security.TokenUser)[0]))


def is_administrator() -> bool:
    """Tell whether this process may take folders."""
    import win32security as security

    administrators = security.ConvertStringSidToSid(ADMINISTRATORS)
    return bool(security.CheckTokenMembership(None, administrators))  # type: ignore[arg-type]  # None: this process's token
