# SPDX-License-Identifier: Apache-2.0
"""`script/test-windows`: the setup program's whole life under wine, against a real center of this machine.

    what a stranger has put there is refused, a folder of his is made anew → install silently → enrol → service start
    → snapshot of a SQLite database, sent by the service → restore, compare
    → update while the service runs → uninstall: keys, journal and spool stay → install again: the chain goes on

Everything is real but Windows. Each step is told; the first that does not hold ends it with exit code 1.
"""

import argparse
import codecs
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundle.checking import TrialError, check, make_database, rows_of, took, wait_for
from bundle.wheels import ROOT

WINE, WINESERVER = Path("/usr/lib/wine/wine64"), Path("/usr/lib/wine/wineserver64")
BIN = Path(sys.executable).parent
INSTALLED = Path("Program Files/Jinsuo")
AGENT = Path("ProgramData/Jinsuo/agent")
AGENT_WINDOWS = r"C:\ProgramData\Jinsuo\agent"
PASSWORD = "金锁-planted-password"  # noqa: S105 - looked for in files and logs
_SLOW_S = 240
_STRANGER = 65_534


@dataclass(frozen=True, slots=True)
class Wine:
    """A machine with Windows, as far as wine is one."""

    prefix: Path

    @property
    def drive(self) -> Path:
        """Give its drive C."""
        return self.prefix / "drive_c"

    def run(self, *words: str, stdin: str = "", expect: int | None = 0, within_s: float = _SLOW_S) -> str:
        """Run a program; give what it printed. Raises: TrialError unless it exits with `expect` (None: whatever)."""
        # By pipes: wine's programs have no streams that are files.
        done = subprocess.run(
            [str(WINE), *words], input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environ(),
            timeout=within_s, check=False,
        )  # fmt: skip
        told = done.stdout.decode(errors="replace")
        if expect is not None and done.returncode != expect:
            raise TrialError(f"{words[-3:]} exited with {done.returncode}, not {expect}:\n{told[-3000:]}")
        return told

    def agent(self, *words: str, stdin: str = "", expect: int | None = 0) -> str:
        """Run `jinsuo-agent`."""
        python = str(self.drive / INSTALLED / "python" / "python.exe")
        return self.run(python, "-X", "utf8", "-m", "agent.cli.main", *words, stdin=stdin, expect=expect)

    def ask(self, *words: str, expect: int | None = 0) -> dict[str, object]:
        """Run `jinsuo-agent … --json`; give its document."""
        told = self.agent(*words, "--json", expect=expect)
        if "{" not in told:
            raise TrialError(f"{words} gave no JSON: {told!r}")
        document: dict[str, object] = json.loads(told[told.index("{") : told.rindex("}") + 1])
        return document

    def python(self, code: str) -> str:
        """Run a line of Python there."""
        return self.run(str(self.drive / INSTALLED / "python" / "python.exe"), "-X", "utf8", "-c", code).strip()

    def environ(self) -> dict[str, str]:
        """Give the environment of its programs."""
        quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
        return {**os.environ, **quiet, "WINEPREFIX": str(self.prefix), "WINEARCH": "win64"}


def main() -> int:
    """Run the trial; give the exit code."""
    parser = argparse.ArgumentParser(prog="script/test-windows", description=__doc__)
    parser.add_argument("setup", type=Path, help="the setup program")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jinsuo-windows-") as name:
        log = Path(name) / "prefix" / "drive_c" / AGENT / "logs" / "service.log"
        try:
            with windows(Path(name)) as wine, center(Path(name) / "center") as place:
                run_trial(wine, place, args.setup, Path(name))
        except TrialError as err:
            say(f"FAILED: {err}")
            say(f"service.log: {log.read_text(encoding='utf-8')[-3000:] if log.exists() else '-'}")
            return 1
    say("all of it held")
    return 0


def run_trial(wine: Wine, place: "Place", setup: Path, work: Path) -> None:
    """Do everything, in order. Raises: TrialError."""
    refuse_planted(wine, setup)
    install(wine, setup)
    check((wine.drive / AGENT.parent).stat().st_uid == os.getuid(), "the folder above the agent's is no stranger's")
    enrol(wine, place)
    keep_password(wine)
    first = snapshot_by_service(wine, place)
    compare_restored(wine, place, work)
    update(wine, setup)
    stop(wine)
    uninstall(wine)
    install(wine, setup)
    goes_on(wine, place, first)
    wine.agent("service", "uninstall")


def install(wine: Wine, setup: Path) -> None:
    """Install silently; the service is there, its folder too."""
    seconds = took(lambda: run_setup(wine, setup))
    state = wine.ask("service", "status", expect=1)
    check(state["is_installed"] is True and state["is_running"] is False, f"the service is installed: {state}")
    check(state["starts_at_boot"] is True and state["is_current"] is True, f"it starts with the machine: {state}")
    check((wine.drive / AGENT / "agent.yaml").is_file(), "the agent's folder was made")
    shortcuts = [path.name for path in wine.drive.rglob("*.lnk") if path.parent.name == "Jinsuo"]
    check(len(shortcuts) == 4, f"four shortcuts: {shortcuts}")
    pages = {path.name: path.read_bytes() for path in (wine.drive / INSTALLED / "docs").glob("operate*.md")}
    check(
        sorted(pages) == ["operate.md", "operate.zh-CN.md"], f"the handbook is there in both languages: {sorted(pages)}"
    )
    par2 = wine.python(
        "import paramiko, pycdlib; from evidence.medium.recovery import find_program; print(find_program())"
    )
    check(par2.endswith("par2.exe"), f"the road by SSH and offline media have what they need: {par2}")
    check(all(page.startswith(codecs.BOM_UTF8 + b"# ") for page in pages.values()), "as Notepad reads it")
    # It is found only where it hashes as hashlib does.
    lanes = wine.python(
        "from evidence.kernel import find_kernel; print(*(find_kernel().use_lanes(n) for n in (4, 8, 16)))"
    )
    say(f"the compiled kernel hashes {lanes} rows side by side")
    say(
        f"installed silently in {seconds:.0f} s; account {state['account']}; {wine.agent('version').split()[3]} is its Python"
    )


def refuse_planted(wine: Wine, setup: Path) -> None:
    """Try to install over settings that another user has put there, then leave an empty folder of his in their place."""
    if os.getuid() != 0:
        say("not root: nothing is tried with another user's files")
        return
    planted = wine.drive / AGENT / "agent.yaml"
    planted.parent.mkdir(parents=True)
    planted.write_text(
        "sources:\n  - {name: his, kind: command, argv: ['cmd', '/c', 'echo', 'planted']}\n", encoding="utf-8"
    )
    planted.chmod(0o666)
    # To wine, files of another user than its own are those of ANONYMOUS LOGON (server/file.c).
    for path in (planted, planted.parent, planted.parent.parent):
        os.chown(path, _STRANGER, _STRANGER)
    wine.run(str(setup), "/S", expect=2)
    why = (wine.drive / INSTALLED / "setup-error.txt").read_text(encoding="utf-16")
    check(f"{AGENT_WINDOWS}\\agent.yaml was there before" in why, f"the planted file is named: {why}")
    check("planted" in planted.read_text(encoding="utf-8"), "it is left as it was, for a person to look at")
    check(planted.parent.stat().st_mode & 0o007 == 0, "and its folder is closed to others")
    state = wine.ask("service", "status", expect=1)
    check(state["is_installed"] is False, f"there is no service that could heed it: {state}")
    planted.unlink()
    planted.parent.rmdir()
    os.chown(planted.parent.parent, _STRANGER, _STRANGER)
    say("settings that a stranger had put there were refused by name")


def run_setup(wine: Wine, setup: Path) -> None:
    """Run the setup program silently. Raises: TrialError with what it wrote down."""
    wine.run(str(setup), "/S", expect=None)
    why = wine.drive / INSTALLED / "setup-error.txt"
    if why.exists():
        raise TrialError(f"the setup program failed: {why.read_text(encoding='utf-16')}")


def enrol(wine: Wine, place: "Place") -> None:
    """Make a live database on drive C and enrol the agent."""
    folder = wine.drive / "数据"
    folder.mkdir()
    make_database(folder / "his.db")
    settings = "language: zh\nsources:\n  - {name: his, kind: sqlite, path: 'C:\\数据\\his.db'}\n"
    (wine.drive / AGENT / "agent.yaml").write_text(settings, encoding="utf-8")
    code = place.run("unit", "add", "X013", "--name", "市第一医院", "--json")
    wine.agent("enroll", "--center", place.url, "--code", "-", stdin=json.loads(code)["code"] + "\n")
    findings = wine.ask("check", "--as-service", expect=None)["findings"]
    assert isinstance(findings, list)
    failed = [each for each in findings if each["severity"] == "FAIL"]
    check(failed == [], f"check --as-service finds nothing that fails: {failed}")
    say(f"enrolled; check --as-service: {len(findings)} findings, none FAIL")
    check("中心" in wine.agent("check", "--lang", "zh", expect=None), "Chinese comes as UTF-8")


def keep_password(wine: Wine) -> None:
    """Keep a password: it stands in no file as it is, and comes back."""
    wine.agent("secret", "set", "his", stdin=PASSWORD + "\n")
    kept = (wine.drive / AGENT / "secrets.json").read_bytes()
    check(PASSWORD.encode() not in kept and b"planted" not in kept, "the password is encrypted where it is kept")
    found = wine.python(
        "import os; from pathlib import Path; from agent.secrets import Secrets; "
        f"print(Secrets(Path(r'{AGENT_WINDOWS}'), os.environ).find('secret:his'))"
    )
    check(found == PASSWORD, "and comes back as it was")
    say("a password is kept by DPAPI and comes back")


def snapshot_by_service(wine: Wine, place: "Place") -> int:
    """Take a snapshot that the service has to send; wait until the center has stored it; give its sequence."""
    seconds = took(lambda: wine.agent("service", "start"))
    wine.ask("service", "status")
    say(f"service started in {seconds:.0f} s")
    taken = wine.ask("snapshot", "his", "--no-send", expect=None)
    check("error" not in taken, f"a snapshot was taken: {taken}")
    stored = wait_for(lambda: place.stored("X013"), "the service has sent the snapshot")
    say(f"the service sent his#{stored[-1]}: stored, after {len(stored)} snapshot(s)")
    return stored[-1]


def compare_restored(wine: Wine, place: "Place", work: Path) -> None:
    """Restore at the center: its own comparison of roots, and ours of rows."""
    copy = work / "copy.db"
    place.run("restore", "X013", "his", "latest", "--to", f"sqlite:///{copy}")
    check(rows_of(copy) == rows_of(wine.drive / "数据" / "his.db"), "the restored rows are the live ones")
    say("restored on Linux: same roots, same rows")


def update(wine: Wine, setup: Path) -> None:
    """Install over a running service."""
    run_setup(wine, setup)
    check(wine.ask("service", "status")["is_running"] is True, "the service runs again after an update")
    say("updated while the service ran: it runs again")


def stop(wine: Wine) -> None:
    """Stop the service within seconds."""
    seconds = took(lambda: wine.agent("service", "stop"))
    check(seconds < 30, f"the service stops within seconds, not {seconds:.0f}")
    log = (wine.drive / AGENT / "logs" / "service.log").read_text(encoding="utf-8")
    check("agent stopped" in log, "the daemon came to its own end")
    check(PASSWORD not in log, "no password in the log")
    say(f"stopped in {seconds:.1f} s, by its own end")


def uninstall(wine: Wine) -> None:
    """Uninstall silently with a snapshot waiting in the spool; what must stay stays."""
    wine.agent("snapshot", "his", "--no-send", expect=None)
    before = _listing(wine.drive / AGENT)
    # `_?=` lets the uninstaller work from where it is, so that its end is the end.
    folder = "C:\\" + str(INSTALLED).replace("/", "\\")
    wine.run(str(wine.drive / INSTALLED / "uninstall.exe"), "/S", f"_?={folder}")
    after = _listing(wine.drive / AGENT)
    check(set(before) <= set(after), f"gone: {sorted(set(before) - set(after))}")
    kept = [name for name in after if name.startswith(("keys/", "spool/")) or name in ("journal.sqlite", "center.json")]
    check(
        any(name.startswith("keys/") for name in kept) and any(name.endswith(".pack") for name in kept), f"kept: {kept}"
    )
    check(not (wine.drive / INSTALLED / "python").exists(), "the program is gone")
    say(f"uninstalled; kept: {', '.join(sorted(kept))}")


def goes_on(wine: Wine, place: "Place", first: int) -> None:
    """A reinstalled agent finds its folder, its passwords and its chain again."""
    wine.agent("send", expect=None)
    wine.agent("snapshot", "his")
    stored = place.stored("X013") or []
    check(stored == list(range(first, first + 3)), f"the chain goes on from {first}: {stored}")
    say(f"installed again: the chain goes on to his#{stored[-1]}")


@dataclass(frozen=True, slots=True)
class Place:
    """A center of this machine."""

    folder: Path
    url: str

    def run(self, *words: str) -> str:
        """Run `jinsuo-center`. Raises: TrialError."""
        argv = [str(BIN / "jinsuo-center"), "-C", str(self.folder), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise TrialError(f"jinsuo-center {words}: {done.stderr}")
        return done.stdout

    def stored(self, unit: str) -> list[int] | None:
        """Give the sequences that are stored, or None."""
        found = json.loads(self.run("snapshots", unit, "--json"))["snapshots"]
        return sorted(each["sequence"] for each in found if each["level"] == "stored") or None


@contextmanager
def center(folder: Path) -> Iterator[Place]:
    """Make a center, serve it on loopback, end it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    place = Place(folder, f"https://127.0.0.1:{port}")
    subprocess.run(
        [BIN / "jinsuo-center", "init", folder, "--origin", "archives.example/trial", "--listen", f"127.0.0.1:{port}"],
        check=True, capture_output=True,
    )  # fmt: skip
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "jinsuo-center", "-C", folder, "serve"], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL
        )
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise TrialError((folder / "serve.log").read_text(encoding="utf-8"))
        yield place
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def windows(work: Path) -> Iterator[Wine]:
    """Make a new machine; end all that runs on it."""
    wine = Wine(work / "prefix")
    shim = work / "bcryptprimitives.dll"
    source = ROOT / "bundle" / "bcryptprimitives.c"
    subprocess.run(["x86_64-w64-mingw32-gcc", "-shared", "-O2", "-o", shim, source, "-ladvapi32"], check=True)
    wine.prefix.mkdir()
    # Somebody stays at the machine: wine ends its services with the last program, boots anew with the next, and two that
    # boot at once have two service managers. Streams are no pipes: the services inherit them, and would keep them open.
    session = subprocess.Popen(
        [WINE, "cmd"], env=wine.environ(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert session.stdin is not None
        session.stdin.write(b"echo up > C:\\up.txt\r\n")
        session.stdin.flush()
        wait_for(lambda: [path for path in [wine.drive / "up.txt"] if path.exists()], "the machine is up")
        shutil.copy(shim, wine.drive / "windows" / "system32")
        yield wine
    finally:
        subprocess.run([WINESERVER, "-k"], env=wine.environ(), check=False)
        session.communicate()
        subprocess.run([WINESERVER, "-w"], env=wine.environ(), check=False)


def say(text: str) -> None:
    """Tell how it goes."""
    print(f"test-windows: {text}", flush=True)


def _listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
