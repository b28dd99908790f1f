# SPDX-License-Identifier: Apache-2.0
"""A service under systemd: its unit file, its account, and systemctl's words. Linux; changes nothing but by `install`.

Everything lies below `root` (the machine's is `/`), as `systemctl --root` has it, so that an image can be prepared and
a test can look. Invariant: nothing is removed but what `install` wrote; the folder and the account stay.
"""

import os
import stat
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from terminal.errors import OperatorError
from terminal.language import Language, Text
from terminal.service.base import ServiceState
from terminal.service.unit import Unit, find_setting

UNITS = Path("etc/systemd/system")
SYSUSERS = Path("etc/sysusers.d")
_MACHINE = Path("/")
_BOOTED = Path("/run/systemd/system")
"""There while systemd runs as the machine's first process. Source: sd_booted(3)."""
_ACT_S = 180
_LAST_WORDS = 400
_LONGEST_LINE = 4096

Refuse = Callable[[Text, Text], OperatorError]
"""Make the error of the side, of a sentence and a hint."""


class SystemdService:
    """A unit of systemd. Attribute: `name`.

    `plan` gives the unit as the settings ask for it now, of the text that is installed or None; it may refuse, and is
    asked only for what needs it: a service can be stopped whatever its settings are. `refuse` makes its side's errors.
    """

    def __init__(self, name: str, plan: Callable[[str | None], Unit], refuse: Refuse, root: Path = _MACHINE) -> None:
        self._plan = plan
        self._refuse = refuse
        self._root = root
        self.name = name
        self._file = f"{name}.service"

    @property
    def unit_path(self) -> Path:
        """Give where the unit file lies."""
        return self._root / UNITS / self._file

    @property
    def sysusers_path(self) -> Path:
        """Give where what makes the account lies."""
        return self._root / SYSUSERS / f"{self.name}.conf"

    def install(self) -> Sequence[Text]:
        """Write account and unit, hand the folder over, enable."""
        unit = self._plan(self._installed_text())
        folder = self._below(unit.folder)
        if not folder.is_dir():
            raise self._refuse(
                Text(zh=f"没有目录 {folder}", en=f"there is no folder {folder}"),
                Text(zh="先运行 init，或用 -C 指明目录", en="run `init` first, or name the folder with -C"),
            )
        self._check_program(unit)
        if unit.user == self.name:
            # Another account is somebody's already.
            _write(self.sysusers_path, unit.encode_sysusers())
            self._call("systemd-sysusers", *self._rooted(), self.sysusers_path.name)
        owner = self._find_account(unit.user)
        _write(self.unit_path, unit.encode())
        for path in unit.owned:
            self._below(path).mkdir(mode=0o700, parents=True, exist_ok=True)
            _hand_over(self._below(path), owner)
        if self._is_live:
            self._call("systemctl", "daemon-reload")
        self._call("systemctl", *self._rooted(), "enable", self._file)
        return [self._about_credential(unit.credential_file(name)) for name in unit.credentials]

    def start(self) -> None:
        """Start it, and wait for READY=1, as long as the unit lets it take."""
        self._check_installed()
        installed = self._installed_text() or ""
        self._check_credentials(installed)
        try:
            self._call("systemctl", "start", self._file, within_s=patience_s(installed))
        except OperatorError as err:
            said = self._last_words()
            if not said:
                raise
            zh, en = err.sentence(Language.ZH), err.sentence(Language.EN)
            hint = Text(zh=err.advice(Language.ZH), en=err.advice(Language.EN))
            raise self._refuse(Text(zh=f"{zh}；{self.name}：{said}", en=f"{en}; {self.name}: {said}"), hint) from err

    def stop(self) -> None:
        """Stop it."""
        self._check_installed()
        self._call("systemctl", "stop", self._file)

    def state(self) -> ServiceState:
        """Ask systemd."""
        installed = self._installed_text()
        if installed is None:
            return ServiceState(self.name, False, False, False, "unknown", "")
        state = self._ask("is-active") if self._is_live else "unknown"
        return ServiceState(
            name=self.name,
            is_installed=True,
            is_running=state in ("active", "reloading"),
            starts_at_boot=self._ask("is-enabled") == "enabled",
            state=state or "unknown",
            account=find_setting(installed, "User") or "",
            is_current=self._is_current(installed),
        )

    def uninstall(self) -> Sequence[Path]:
        """Stop, disable, remove the unit. The account stays, because the folder is its."""
        installed = self._installed_text()
        if installed is None:
            return []
        now = ("--now",) if self._is_live else ()
        self._call("systemctl", *self._rooted(), "disable", *now, self._file)
        self.unit_path.unlink()
        self.sysusers_path.unlink(missing_ok=True)
        if self._is_live:
            self._call("systemctl", "daemon-reload")
        folder = find_setting(installed, "WorkingDirectory")
        return [self._below(folder)] if folder else []

    @property
    def _is_live(self) -> bool:
        """Tell whether a systemd runs here that can be spoken to: not in an image, and not in a container without one."""
        return self._root == _MACHINE and _BOOTED.is_dir()

    def _rooted(self) -> tuple[str, ...]:
        return () if self._root == _MACHINE else (f"--root={self._root}",)

    def _below(self, path: object) -> Path:
        return self._root / str(path).lstrip("/")

    def _installed_text(self) -> str | None:
        try:
            return self.unit_path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def _check_installed(self) -> None:
        if self._installed_text() is None:
            raise self._refuse(
                Text(zh=f"服务 {self.name} 尚未安装", en=f"the service {self.name} is not installed"),
                Text(zh=f"先运行 `{self.name} service install`", en=f"run `{self.name} service install` first"),
            )

    def _check_credentials(self, installed: str) -> None:
        """Refuse to start what systemd would not start, and say so in plain words."""
        for line in installed.splitlines():
            key, _, value = line.partition("=")
            name, _, path = value.partition(":")
            # A path that root alone may enter is not there for others; they may not start it anyway.
            if key == "LoadCredential" and os.geteuid() == 0 and not self._below(path).is_file():
                raise self._refuse(
                    Text(
                        zh=f"没有 {path}：服务 {self.name} 需要其中的口令 {name}",
                        en=f"there is no {path}, which {self.name} needs",
                    ),
                    Text(
                        zh=f"把口令写入该文件并 `chmod 600 {path}`，再启动",
                        en=f"write the password into it, `chmod 600 {path}`, and start it again",
                    ),
                )

    def _last_words(self) -> str:
        """Give what the daemon itself said last before its start failed; nothing if it said nothing, or nobody kept it."""
        with suppress(OperatorError):
            run = self._run("systemctl", "show", "--value", "-p", "InvocationID", self._file).stdout.strip()
            words = ("-u", self._file, "-t", self.name, "-n", "3", "-o", "cat", "--no-pager")
            if run:
                said = self._run("journalctl", *words, f"_SYSTEMD_INVOCATION_ID={run}").stdout
                return " ".join(said.split())[-_LAST_WORDS:]
        return ""

    def _is_current(self, installed: str) -> bool:
        try:
            return self._plan(installed).encode() == installed
        except OperatorError:
            return False  # `check` tells what is wrong with the settings

    def _find_account(self, user: str) -> tuple[int, int]:
        """Give the numbers of the account and its group; a directory may know accounts that no file has."""
        if self._root == _MACHINE:
            import pwd

            with suppress(KeyError):
                found = pwd.getpwnam(user)
                return found.pw_uid, found.pw_gid
        passwd = self._root / "etc/passwd"
        for line in passwd.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, number, group, *_ = [*line.split(":"), "", "", ""]
            if name == user:
                return int(number), int(group)
        raise self._refuse(
            Text(zh=f"{passwd} 中没有账户 {user}", en=f"{passwd} has no account {user}"),
            Text(zh="先建立它，或不写 --user", en="make it first, or leave --user out"),
        )

    def _check_program(self, unit: Unit) -> None:
        """Refuse a program that the service's account could not run, such as one in root's home, or whose Python is there."""
        program = Path(unit.argv[0])
        for each in dict.fromkeys(part for file in _run_by(program) for part in (file, *file.parents)):
            if not each.exists() or not each.stat().st_mode & stat.S_IXOTH:
                raise self._refuse(
                    Text(
                        zh=f"账户 {unit.user} 运行不了 {program}：{each} 不对它开放",
                        en=f"the account {unit.user} cannot run {program}: {each} is closed to it",
                    ),
                    Text(
                        zh="把程序装在人人可读的目录，例如 /opt/jinsuo",
                        en="install the program where everybody may read, such as /opt/jinsuo",
                    ),
                )

    def _about_credential(self, path: PurePosixPath) -> Text:
        return Text(
            zh=f"口令须在 {path} 中，只有 root 可读：没有它，服务不会启动",
            en=f"a password must be in {path}, for root only: without it the service does not start",
        )

    def _ask(self, question: str) -> str:
        """Give the one word with which systemctl answers; its exit code says no more."""
        done = self._run("systemctl", *self._rooted(), question, self._file)
        return done.stdout.strip()

    def _call(self, *argv: str, within_s: int = _ACT_S) -> None:
        done = self._run(*argv, within_s=within_s)
        if done.returncode != 0:
            said = " ".join((done.stderr or done.stdout).split())[-_LAST_WORDS:]
            raise self._refuse(
                Text(
                    zh=f"{argv[0]} 失败（{done.returncode}）：{said}",
                    en=f"{argv[0]} failed ({done.returncode}): {said}",
                ),
                Text(
                    zh=f"以 root 运行；原因见 `journalctl -u {self.name}`",
                    en=f"run it as root; `journalctl -u {self.name}` has the reasons",
                ),
            )

    def _run(self, *argv: str, within_s: int = _ACT_S) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - words of ours, no shell
                argv, capture_output=True, text=True, timeout=within_s, check=False, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError as err:
            raise self._refuse(
                Text(zh=f"本机没有 {argv[0]}", en=f"this machine has no {argv[0]}"),
                Text(
                    zh=f"没有 systemd 的机器：让它自己的服务管理器运行 {self.name}",
                    en=f"without systemd, let the machine's own supervisor run {self.name}",
                ),
            ) from err
        except subprocess.TimeoutExpired as err:
            raise self._refuse(
                Text(zh=f"{argv[0]} {within_s} 秒内没有结束", en=f"{argv[0]} did not end within {within_s} s"),
                Text(zh=f"原因见 `journalctl -u {self.name}`", en=f"`journalctl -u {self.name}` has the reasons"),
            ) from err


def patience_s(installed: str) -> int:
    """Give how long a start may take by the unit that is installed, with time for systemd to give it up first."""
    most_s = find_setting(installed, "TimeoutStartSec") or ""
    return _ACT_S + (int(most_s) if most_s.isdecimal() else 0)


def _run_by(program: Path) -> list[Path]:
    """Give the files that running a program needs: itself, the interpreter that its first line names, where their links lead."""
    files = [program]
    if program.is_file():
        with program.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
        if line.startswith(b"#!"):
            files.append(Path(os.fsdecode(line[2:].split(maxsplit=1)[0])))
    return [each for file in files for each in (file, file.resolve())]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)


def _hand_over(folder: Path, owner: tuple[int, int]) -> None:
    """Give the folder and what is in it to the account. Links are given, never followed.

    When it is installed again the folder is the account's already, which may exchange folders for links meanwhile: so each
    file is given from the opened folder in which it was found.
    """
    for _, folders, files, descriptor in os.fwalk(folder.resolve(), follow_symlinks=False):
        os.chown(descriptor, *owner)
        for name in (*folders, *files):
            os.chown(name, *owner, dir_fd=descriptor, follow_symlinks=False)
