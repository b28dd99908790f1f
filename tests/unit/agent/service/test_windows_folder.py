# SPDX-License-Identifier: Apache-2.0
"""Whom the agent's folder on Windows belongs to: rules and order, over real folders whose owners are told by the test.

That Windows' own calls are the right ones is seen under wine, by script/test-windows.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.errors import ServiceError
from agent.service.taking import (
    ADMINISTRATORS,
    SYSTEM,
    Door,
    content_sddl,
    find_above,
    folder_sddl,
    is_taken,
    take_folder,
)
from agent.service.windows import NAME, service_sid
from terminal.language import Language

SERVICE = service_sid(NAME)
STRANGER, INSTALLER, FORMER = "S-1-5-21-1-2-3-1009", "S-1-5-21-1-2-3-500", "S-1-5-21-1-2-3-1010"


@dataclass
class _Door:
    path: Path
    owner: str
    dacl: str
    is_folder: bool
    is_link: bool
    names: int
    given: list[tuple[Path, str]]

    def give(self, sddl: str) -> None:
        self.given.append((self.path, sddl))

    def name_owner(self) -> str:
        return f"HOSPITAL\\{self.owner}"


@dataclass
class Machine:
    """Real files, whose owners stand here: an administrator's unless said. `given`: what was set, in order."""

    inodes: dict[int, str] = field(default_factory=dict)
    given: list[tuple[Path, str]] = field(default_factory=list)
    on_open: Callable[[Path], None] = lambda _: None

    def put(self, path: Path, owner: str, content: str | None = None) -> Path:
        """Make a folder, or a file with content, of somebody."""
        if content is None:
            path.mkdir(parents=True)
        else:
            path.write_text(content)
        # By inode: what is made anew in its place is of whoever makes it.
        self.inodes[path.lstat().st_ino] = owner
        return path

    @contextmanager
    def open(self, path: Path) -> Iterator[Door]:
        self.on_open(path)
        status = path.lstat()
        given = [sddl for given, sddl in self.given if given == path]
        owner = ADMINISTRATORS if given else self.inodes.get(status.st_ino, ADMINISTRATORS)
        dacl = re.sub("^O:BA", "", given[-1]) if given else "D:AI(A;OICIID;FA;;;BA)(A;OICIID;0x1301bf;;;BU)"
        yield _Door(
            path, owner, dacl, stat.S_ISDIR(status.st_mode), stat.S_ISLNK(status.st_mode), status.st_nlink, self.given
        )

    def take(self, folder: Path, *above: Path) -> None:
        take_folder(folder, above, SERVICE, [INSTALLER], self.open)

    def refused(self, folder: Path, *above: Path) -> str:
        with pytest.raises(ServiceError) as caught:
            self.take(folder, *above)
        assert caught.value.advice(Language.ZH)
        assert caught.value.sentence(Language.ZH)
        return caught.value.sentence(Language.EN)


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Give the folder in which everybody may make folders."""
    shared = tmp_path / "ProgramData"
    shared.mkdir()
    return shared


def test_list_has_system_administrators_and_the_service_and_nobody_else() -> None:
    for sddl in (folder_sddl(SERVICE), content_sddl(SERVICE, is_folder=True), content_sddl(SERVICE, is_folder=False)):
        assert sddl.startswith("O:BAD:")
        assert re.findall(r"\(A;[A-Z]*;FA;;;([^)]+)\)", sddl) == ["SY", "BA", SERVICE]
        assert sddl.count("(") == 3
    assert re.findall(r"\(([^)]+)\)", folder_sddl(None)) == ["A;OICI;FA;;;SY", "A;OICI;FA;;;BA"]


def test_folder_inherits_nothing_and_what_is_in_it_has_what_it_inherits() -> None:
    assert folder_sddl(SERVICE).startswith("O:BAD:P(A;OICI;")
    assert content_sddl(SERVICE, is_folder=True).startswith("O:BAD:ARAI(A;OICIID;")
    assert content_sddl(SERVICE, is_folder=False).startswith("O:BAD:ARAI(A;ID;")


@pytest.mark.parametrize(
    ("owner", "dacl", "expected"),
    [
        (ADMINISTRATORS, f"D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{SERVICE})", True),
        (SYSTEM, f"D:P(A;OICI;FA;;;{SERVICE})(A;OICI;FA;;;BA)(A;OICI;FA;;;BO)", True),
        (STRANGER, f"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{SERVICE})", False),
        (ADMINISTRATORS, f"D:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;FA;;;{SERVICE})", False),
        (ADMINISTRATORS, "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", False),
        (ADMINISTRATORS, f"D:P(A;OICI;FA;;;BA)(A;OICI;FA;;;{SERVICE}1)", False),
    ],
)
def test_folder_is_taken_if_it_is_an_administrators_inherits_nothing_and_lets_the_service_in(
    owner: str, dacl: str, expected: bool
) -> None:
    assert is_taken(owner, dacl, SERVICE) is expected


def test_folders_above_are_those_between_program_data_and_the_agents(tmp_path: Path) -> None:
    environ = {"ProgramData": str(tmp_path)}
    assert find_above(tmp_path / "Jinsuo" / "agent", environ) == [tmp_path / "Jinsuo"]
    assert find_above(tmp_path / "a" / "b" / "c", environ) == [tmp_path / "a", tmp_path / "a" / "b"]
    assert find_above(tmp_path / "agent", environ) == []
    assert find_above(Path("/elsewhere/Jinsuo/agent"), environ) == []
    assert find_above(tmp_path / "agent", {}) == []


def test_new_folder_is_made_and_given_to_the_service(machine: Machine, shared: Path) -> None:
    machine.take(shared / "Jinsuo" / "agent", shared / "Jinsuo")
    assert (shared / "Jinsuo" / "agent").is_dir()
    final = dict(machine.given)
    assert final == {
        shared / "Jinsuo": folder_sddl(SERVICE),
        shared / "Jinsuo" / "agent": folder_sddl(SERVICE),
    }


def test_strangers_empty_folder_is_made_anew(machine: Machine, shared: Path) -> None:
    above = machine.put(shared / "Jinsuo", STRANGER)
    before = above.stat().st_ino
    held = os.open(above, os.O_RDONLY)
    try:
        machine.take(above / "agent", above)
        assert above.stat().st_ino != before, "who has it open has nothing of it"
    finally:
        os.close(held)


@pytest.mark.parametrize("name", ["agent.yaml", "keys/agent.key", "secrets.json", "spool/his/1.pack", "logs"])
@pytest.mark.parametrize("is_his", [True, False])
def test_whatever_a_stranger_has_put_into_the_folder_is_refused_by_its_name(
    machine: Machine, shared: Path, name: str, is_his: bool
) -> None:
    folder = machine.put(shared / "Jinsuo" / "agent", STRANGER if is_his else ADMINISTRATORS)
    (folder / "agent.yaml").write_text("sources: []")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    planted = machine.put(folder / name, STRANGER, "planted" if "." in name else None)
    said = machine.refused(folder, folder.parent)
    assert f"{planted} was there before the installation and belongs to HOSPITAL\\{STRANGER}" in said
    # He is shut out, and the service is not let in.
    assert dict(machine.given)[folder] == folder_sddl(None)
    assert planted not in dict(machine.given)


def test_what_was_refused_once_is_refused_again(machine: Machine, shared: Path) -> None:
    folder = machine.put(shared / "Jinsuo" / "agent", STRANGER)
    planted = machine.put(folder / "agent.yaml", STRANGER, "sources: []")
    assert machine.refused(folder, folder.parent) == machine.refused(folder, folder.parent)
    planted.unlink()
    machine.take(folder, folder.parent)
    assert dict(machine.given)[folder] == folder_sddl(SERVICE)


@pytest.mark.parametrize("owner", [SYSTEM, ADMINISTRATORS, INSTALLER, SERVICE])
def test_what_administrators_the_installer_and_the_service_have_put_there_is_taken(
    machine: Machine, shared: Path, owner: str
) -> None:
    folder = machine.put(shared / "Jinsuo" / "agent", INSTALLER)
    keys = machine.put(folder / "keys", owner)
    files = [machine.put(path, owner, "x") for path in (folder / "agent.yaml", keys / "agent.key")]
    machine.take(folder, folder.parent)
    final = dict(machine.given)
    assert final[folder] == folder_sddl(SERVICE)
    assert final[keys] == content_sddl(SERVICE, is_folder=True)
    assert {final[path] for path in files} == {content_sddl(SERVICE, is_folder=False)}


def test_folder_that_was_taken_is_believed_whoever_has_run_the_service_since(machine: Machine, shared: Path) -> None:
    folder = shared / "Jinsuo" / "agent"
    machine.take(folder, folder.parent)
    spool = machine.put(folder / "spool", FORMER)
    machine.put(spool / "1.pack", FORMER, "x")
    count = len(machine.given)
    machine.take(folder, folder.parent)
    assert {path for path, _ in machine.given[count:]} == {folder.parent}


def test_each_folder_is_shut_before_its_names_are_asked_for_and_the_service_comes_in_last(
    machine: Machine, shared: Path
) -> None:
    folder = machine.put(shared / "Jinsuo" / "agent", STRANGER)
    keys = machine.put(folder / "keys", ADMINISTRATORS)

    def plant(path: Path) -> None:
        """The stranger puts something into each folder that is open to him still when another thing is looked at."""
        for each in (folder, keys):
            if path.parent == each and each not in dict(machine.given):
                machine.put(each / "planted", STRANGER, "x")

    (folder / "agent.yaml").touch()
    (keys / "agent.key").touch()
    machine.on_open = plant
    machine.take(folder, folder.parent)
    assert machine.given[-1] == (folder, folder_sddl(SERVICE))
    assert [sddl for path, sddl in machine.given if path == folder] == [folder_sddl(None), folder_sddl(SERVICE)]


@pytest.mark.parametrize("which", ["Jinsuo", "agent"])
def test_folder_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone(
    machine: Machine, shared: Path, tmp_path: Path, which: str
) -> None:
    elsewhere = tmp_path / "Windows"
    (elsewhere / "agent").mkdir(parents=True)
    above = shared / "Jinsuo"
    if which == "Jinsuo":
        above.symlink_to(elsewhere)
    else:
        above.mkdir()
        (above / "agent").symlink_to(elsewhere / "agent")
    assert "is a link to elsewhere" in machine.refused(above / "agent", above)
    assert {path for path, _ in machine.given} <= {above} - ({above} if which == "Jinsuo" else set())


def test_link_in_the_folder_is_never_followed(machine: Machine, shared: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "E"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    folder = machine.put(shared / "Jinsuo" / "agent", ADMINISTRATORS)
    (folder / "spool").symlink_to(elsewhere)
    machine.take(folder, folder.parent)
    assert {path for path, _ in machine.given} == {folder.parent, folder}
    other = machine.put(shared / "Other" / "agent", ADMINISTRATORS)
    (other / "keys").symlink_to(elsewhere)
    machine.inodes[(other / "keys").lstat().st_ino] = STRANGER
    assert f"{other / 'keys'} was there before" in machine.refused(other, other.parent)


def test_file_that_is_known_elsewhere_too_is_refused(machine: Machine, shared: Path, tmp_path: Path) -> None:
    """A hard link to a file of the system's: it is SYSTEM's, and what is done to it is done to the system."""
    (tmp_path / "kernel.dll").touch()
    folder = machine.put(shared / "Jinsuo" / "agent", STRANGER)
    (folder / "agent.yaml").hardlink_to(tmp_path / "kernel.dll")
    assert "has another name elsewhere" in machine.refused(folder, folder.parent)
    assert folder / "agent.yaml" not in dict(machine.given)
