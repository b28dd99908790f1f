# SPDX-License-Identifier: Apache-2.0
"""The life of both services under a systemd that runs: what `script/test-systemd` does inside its machine.

    install → center, agent → a snapshot by schedule, stored → walls, credentials → update → settings anew → killed → hung
    → stopped, started → the machine is restarted → both came up → another account → uninstalled: keys, spool and store stay

Runs as root on a machine that is for nothing else, by Debian's Python, and does what the handbook tells an operator to do.
Each step is told with its seconds; the first that does not hold ends it, and the machine powers itself off.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bundle.checking import TrialError, check, make_database, rows_of, took, wait_for

HERE = Path("/opt/trial")
CENTER, AGENT = Path("/var/lib/jinsuo-center"), Path("/var/lib/jinsuo-agent")
FOLDERS = {"jinsuo-center": CENTER, "jinsuo-agent": AGENT}
DATABASE = Path("/srv/his/his.db")
UNIT = "X013"
PASSWORD, PASSPHRASE = "金锁-planted-password", "金锁-planted-passphrase"
CREDENTIALS = {"jinsuo-agent.his": PASSWORD, "jinsuo-center.passphrase": PASSPHRASE}
MARK = HERE / "restarted"
"""There once the machine has been restarted."""
RESTART_S, WATCHDOG_S = 60, 120
_PATIENCE_S = 600
"""Where the processor is emulated everything takes ten times as long."""
_EACH_MINUTE = '"* * * * *"'
_SETTINGS = f"""\
language: zh
sources:
  - {{name: his, kind: sqlite, path: {DATABASE}, schedule: {_EACH_MINUTE}}}
  - name: walls
    kind: command
    argv: [/usr/bin/python3, {HERE}/walls.py]
    env: {{PGPASSWORD: credential:his}}
    schedule: {_EACH_MINUTE}
"""
_MORE = f"  - {{name: scans, kind: files, path: /srv/scans, schedule: {_EACH_MINUTE}}}\n"
_OUTSIDE = (
    "/etc",
    "/usr/bin",
    "/opt/jinsuo/bin",
    "/root",
    "/home",
    "/srv",
    "/srv/scans",
    "/var/lib",
    "/var/log",
    "/boot",
)
_WALLS = """\
import ctypes, errno, hashlib, json, os, socket
def attempt(act):
    try:
        act()
    except OSError as err:
        return errno.errorcode[err.errno]
    return "done"
def unshare():
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "")
print(json.dumps({
    "write": {name: attempt(lambda: open(name + "/planted", "w")) for name in OUTSIDE},
    "credential file": attempt(lambda: open("/etc/credstore/jinsuo-agent.his")),
    "center's key": attempt(lambda: open("/var/lib/jinsuo-center/keys/master.key")),
    "name space": attempt(unshare),
    "packets": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "password": hashlib.sha256(os.environ["PGPASSWORD"].encode()).hexdigest(),
    "account": os.getuid(),
}))
"""
_TOLD = "test-systemd: "
_JOURNALS = ("-o", "short-monotonic", "-u", "jinsuo-agent", "-u", "jinsuo-center")


def main() -> int:
    """Do what is left to do, then restart the machine or power it off."""
    steps, then = (AFTER, "poweroff") if MARK.exists() else (BEFORE, "reboot")
    try:
        for step in steps:
            began = time.monotonic()
            told = step()
            say(f"{time.monotonic() - began:6.1f} s  {told}")
    except Exception as err:  # noqa: BLE001 - the machine must end, and whoever waits for it must hear why
        say(
            f"FAILED: {step.__name__}: {err!r}"
            if not isinstance(err, TrialError)
            else f"FAILED: {step.__name__}: {err}"
        )
        print(run("journalctl", "-b", "--no-pager", "-n", "60", *_JOURNALS, expect=None), flush=True)
        then = "poweroff"
    else:
        if then == "reboot":
            MARK.touch()
        else:
            say("all of it held")
    os.sync()
    run("systemctl", "--no-block", then)
    return 0


def install() -> str:
    """Check the archive, unpack it, install it with an agent, as its README says."""
    archive = next(HERE.glob("*.tar.gz"))
    run("sha256sum", "--quiet", "-c", f"{archive.name}.sha256", cwd=HERE)
    run("tar", "-xzf", archive.name, cwd=HERE)
    script = next(HERE.glob("*/install.sh"))
    run(str(script), "--agent", str(AGENT))
    check(show("jinsuo-agent", "UnitFileState") == "enabled", "the agent's unit is enabled")
    check(show("jinsuo-agent", "ActiveState") == "inactive", "and not started yet")
    return f"installed {agent('--version').strip()} by {script.parent.name}/install.sh --agent {AGENT}"


def make_center() -> str:
    """Make a center whose master key has a passphrase, let systemd keep that, start it."""
    keep_credentials()
    center("init", str(CENTER), "--origin", "archives.example/trial", "--passphrase")
    told = center("service", "install")
    check("/etc/credstore/jinsuo-center.passphrase" in told, f"installing says where the passphrase must be: {told}")
    seconds = took(lambda: center("service", "start"))
    check_runs("jinsuo-center")
    status = show("jinsuo-center", "StatusText")
    check(status.startswith("listening on https://127.0.0.1:"), f"it says where it listens: {status}")
    return f"center: made, installed, Type=notify ready in {seconds:.1f} s: {status}"


def make_agent() -> str:
    """Give the agent its settings, enrol it, look, start it."""
    DATABASE.parent.mkdir(parents=True)
    make_database(DATABASE)
    Path("/srv/scans").mkdir()
    Path("/srv/scans/001.txt").write_text("一\n", encoding="utf-8")
    (HERE / "walls.py").write_text(f"OUTSIDE = {_OUTSIDE}\n{_WALLS}", encoding="utf-8")
    (AGENT / "agent.yaml").write_text(_SETTINGS, encoding="utf-8")
    code = json.loads(center("unit", "add", UNIT, "--name", "市第一医院", "--json"))["code"]
    agent("enroll", "--center", "https://127.0.0.1:8443", "--code", "-", stdin=code + "\n")
    check(
        ask("agent", "service", "status", expect=1)["is_current"] is False, "status says that the unit is out of date"
    )
    agent("service", "install")
    findings = ask("agent", "check", "--as-service", expect=None)["findings"]
    assert isinstance(findings, list)
    failed = [each for each in findings if each["severity"] == "FAIL"]
    check(failed == [], f"check --as-service finds nothing that fails: {failed}")
    seconds = took(lambda: agent("service", "start"))
    check_runs("jinsuo-agent")
    return f"agent: enrolled; check --as-service: {len(findings)} findings, none FAIL; Type=notify ready in {seconds:.1f} s"


def snapshot_by_schedule() -> str:
    """Wait for what the schedule takes; restore it and compare."""
    stored = next_stored("his")
    copy = Path("/var/tmp/copy.db")  # noqa: S108 - a machine of its own
    center("restore", UNIT, "his", "latest", "--to", f"sqlite:///{copy}")
    check(rows_of(copy) == rows_of(DATABASE), "the restored rows are the live ones")
    return f"his#{stored} taken by schedule and stored; restored: same roots, same rows"


def see_walls() -> str:
    """Look at the processes from outside, and try to get out from inside."""
    told = []
    for name, folder in FOLDERS.items():
        status = dict(line.split(":\t", 1) for line in process_file(name, "status").splitlines() if ":\t" in line)
        check(status["Uid"].split()[0] == str(folder.stat().st_uid) != "0", f"{name} runs as {status['Uid']}")
        capabilities = {each: int(status[each], 16) for each in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")}
        check(not any(capabilities.values()), f"{name} has no capability: {capabilities}")
        check((status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), f"{name} is filtered: {status}")
        limits = process_file(name, "limits")
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        check(core.split()[4:6] == ["0", "0"], f"a {name} that crashes leaves no keys in a core: {core}")
        inside = ("nsenter", "-m", "-t", str(main_pid(name)), "--")
        # Root inside the service's name space: what stops it is no account's right, but the wall.
        others = [str(other) for other in FOLDERS.values() if other != folder]
        for place in (*_OUTSIDE, *others):
            said = run(*inside, "touch", f"{place}/planted", expect=1)
            check("Read-only file system" in said, f"{name} cannot write to {place}: {said}")
        run(*inside, "touch", f"{folder}/planted")
        (folder / "planted").unlink()
        exposure = run("systemd-analyze", "security", "--no-pager", f"{name}.service").strip().splitlines()[-1]
        told.append(exposure.removeprefix("→ Overall exposure level for "))
    return f"no capability, filtered, no core, writes only in its folder; exposure: {'; '.join(told)}"


def see_credentials() -> str:
    """See what the agent's own command could do, and that it was given the password."""
    number = next_stored("walls")
    folder = Path(f"/var/tmp/walls-{number}")  # noqa: S108 - a machine of its own
    center("restore", UNIT, "walls", str(number), "--to", str(folder))
    found = json.loads(next(path for path in folder.rglob("*") if path.is_file() and path.name == "walls").read_text())
    check(found["password"] == hashlib.sha256(PASSWORD.encode()).hexdigest(), "the command was given the password")
    check(found["account"] == AGENT.stat().st_uid, f"as the agent's account: {found}")
    refused = {
        **found["write"],
        **{name: found[name] for name in ("credential file", "center's key", "name space", "packets")},
    }
    check("done" not in refused.values(), f"refused it everything: {refused}")
    log = run("journalctl", "--no-pager", *_JOURNALS)
    check(not any(secret in log for secret in (PASSWORD, PASSPHRASE)), "no secret in the journal")
    return f"a dump command got its password by credential, and was refused {len(refused)} ways out"


def update() -> str:
    """Install again over running services."""
    before = pids()
    run(str(next(HERE.glob("*/install.sh"))))
    for name in FOLDERS:
        check_runs(name)
    check(all(pids()[name] != before[name] for name in FOLDERS), "both were started anew")
    return f"updated while both ran; his#{next_stored('his')} stored"


def change_settings() -> str:
    """Change the agent's settings while it runs: they count without a restart, wrong ones do not end it."""
    before = pids()
    said = run("systemctl", "reload", "jinsuo-agent", expect=None)
    path = AGENT / "agent.yaml"
    path.write_text(_SETTINGS + _MORE, encoding="utf-8")
    first = next_stored("scans")
    path.write_text("sourcez: []\n", encoding="utf-8")
    check(ask("agent", "service", "status")["is_current"] is False, "status says that something is wrong")
    number = next_stored("his")
    path.write_text(_SETTINGS + _MORE, encoding="utf-8")
    check(pids() == before, "nothing was restarted")
    seconds = took(lambda: run("systemctl", "restart", "jinsuo-center"))
    check_runs("jinsuo-center")
    return (
        f"a new source counts without a restart (scans#{first} stored), wrong settings do not end the agent (his#{number}); "
        f"center restarted in {seconds:.1f} s; systemctl reload: {said.strip().splitlines()[-1] if said.strip() else 'done'}"
    )


def kill() -> str:
    """Kill both as the system would that has no memory left."""
    before = pids()
    began = time.monotonic()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_anew(before, RESTART_S + _PATIENCE_S)
    return f"killed (SIGKILL): both run again after {time.monotonic() - began:.0f} s; his#{next_stored('his')} stored"


def hang() -> str:
    """Stop both in their tracks: they cannot beat, and the watchdog has to notice."""
    before = pids()
    began = time.monotonic()
    for pid in before.values():
        os.kill(pid, signal.SIGSTOP)
    wait_for(
        lambda: all(main_pid(name) != pid for name, pid in before.items()),
        "the watchdog ends both",
        WATCHDOG_S + _PATIENCE_S,
    )
    ended_s = time.monotonic() - began
    wait_anew(before, RESTART_S + _PATIENCE_S)
    log = run("journalctl", "-b", "--no-pager", *_JOURNALS)
    check(log.count("Watchdog timeout") == len(FOLDERS), f"the watchdog did it: {log[-1500:]}")
    check(not list(AGENT.glob("core*")) and not list(CENTER.glob("core*")), "no core was left")
    return (
        f"hung (SIGSTOP): ended by the watchdog after {ended_s:.0f} s, both run again after "
        f"{time.monotonic() - began:.0f} s; his#{next_stored('his')} stored"
    )


def stop_and_start() -> str:
    """Stop both, by their own end; start them again, and first as they cannot be started."""
    told = []
    for name, command in (("jinsuo-agent", agent), ("jinsuo-center", center)):
        seconds = took(lambda: command("service", "stop"))  # noqa: B023 - called at once
        ended = (
            show(name, "Result"),
            show(name, "ExecMainCode"),
            show(name, "ExecMainStatus"),
            show(name, "ActiveState"),
        )
        check(ended == ("success", "1", "0", "inactive"), f"{name} ended by itself with 0: {ended}")
        told.append(f"{name} in {seconds:.1f} s")
    log = run("journalctl", "-b", "--no-pager", "-n", "20", *_JOURNALS)
    check("SIGKILL" not in log and "agent stopped" in log, f"neither was killed: {log}")
    store = Path("/etc/credstore/jinsuo-center.passphrase")
    store.rename(store.with_suffix(".away"))
    said = run("jinsuo-center", "service", "start", expect=1)
    check(str(store) in said, f"a start without its credential says where that must be: {said}")
    store.with_suffix(".away").rename(store)
    center("service", "start")
    settings = (AGENT / "agent.yaml").read_text(encoding="utf-8")
    (AGENT / "agent.yaml").write_text("sourcez: []\n", encoding="utf-8")
    said = agent("service", "start", expect=1)
    check("JS-0065" in said and "sourcez" in said, f"a start with wrong settings says what is wrong: {said}")
    (AGENT / "agent.yaml").write_text(settings, encoding="utf-8")
    agent("service", "start")
    return f"stopped, exit code 0, no SIGKILL: {', '.join(told)}; without credential or with wrong settings a start says so"


def come_up() -> str:
    """See that both run by themselves after the machine was restarted, and go on with their chain."""
    for name in FOLDERS:
        wait_for(lambda: show(name, "ActiveState") == "active", f"{name} came up by itself", _PATIENCE_S)  # noqa: B023 - at once
    booted = run("systemctl", "show", "--value", "-p", "UserspaceTimestampMonotonic").strip()
    up = {name: (int(show(name, "ActiveEnterTimestampMonotonic")) - int(booted)) / 1e6 for name in FOLDERS}
    number = next_stored("his")
    check(sequences("his") == list(range(1, number + 1)), f"one chain without a gap: {sequences('his')}")
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in up.items())
    return f"restarted: ready after the start of systemd: {told}; his#1 to #{number} stored, none is lacking"


def other_account() -> str:
    """Let an account that is already there run the agent, whose group has another name."""
    for path, line in (("/etc/passwd", "oracle:x:5432:5432::/:/usr/sbin/nologin"), ("/etc/group", "oinstall:x:5432:")):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    agent("service", "install", "--user", "oracle")
    run("systemctl", "restart", "jinsuo-agent")
    check_runs("jinsuo-agent")
    check(Path(f"/proc/{main_pid('jinsuo-agent')}").stat().st_uid == 5432, "the agent runs as oracle")
    return f"--user oracle, of the group oinstall; his#{next_stored('his')} stored"


def uninstall() -> str:
    """Remove both services; what must stay stays."""
    run("systemctl", "stop", "jinsuo-agent")
    agent("snapshot", "his", "--no-send", expect=None)
    before = {name: listing(folder) for name, folder in FOLDERS.items()}
    for name, command in (("jinsuo-agent", agent), ("jinsuo-center", center)):
        check(str(FOLDERS[name]) in command("service", "uninstall"), "uninstalling says what stays")
        check(show(name, "LoadState") == "not-found", f"{name} is gone")
        check(
            not Path(f"/etc/systemd/system/multi-user.target.wants/{name}.service").is_symlink(), "from the start, too"
        )
        gone = before[name] - listing(FOLDERS[name])
        check(
            not {each for each in gone if not each.endswith(("-wal", "-shm"))}, f"nothing of its folder is gone: {gone}"
        )
    kept = listing(AGENT) | listing(CENTER)
    for prefix in ("keys/", "spool/", "store/", "ledger/", "journal.sqlite"):
        check(any(name.startswith(prefix) for name in kept), f"{prefix} stays: {sorted(kept)[:50]}")
    return f"uninstalled; keys, spool, journal, store and ledger stay ({len(kept)} files)"


BEFORE: Sequence[Callable[[], str]] = (
    install, make_center, make_agent, snapshot_by_schedule, see_walls, see_credentials, update, change_settings, kill, hang,
    stop_and_start,
)  # fmt: skip
AFTER: Sequence[Callable[[], str]] = (come_up, other_account, uninstall)


def keep_credentials() -> None:
    """Put the secrets where the handbook says."""
    store = Path("/etc/credstore")
    store.mkdir(mode=0o700, exist_ok=True)
    for name, secret in CREDENTIALS.items():
        (store / name).write_text(f"{secret}\n", encoding="utf-8")
        (store / name).chmod(0o600)


def agent(*words: str, stdin: str = "", expect: int | None = 0) -> str:
    """Run `jinsuo-agent` as root."""
    return run("jinsuo-agent", *words, stdin=stdin, expect=expect)


def center(*words: str) -> str:
    """Run `jinsuo-center` as root."""
    return run("jinsuo-center", *words)


def ask(side: str, *words: str, expect: int | None = 0) -> dict[str, object]:
    """Run a command with --json; give its document."""
    told = run(f"jinsuo-{side}", *words, "--json", expect=expect)
    document: dict[str, object] = json.loads(told[told.index("{") : told.rindex("}") + 1])
    return document


def sequences(source: str) -> list[int]:
    """Give what is stored of a source."""
    found = json.loads(center("snapshots", UNIT, "--json"))["snapshots"]
    return sorted(each["sequence"] for each in found if (each["source"], each["level"]) == (source, "stored"))


def next_stored(source: str) -> int:
    """Wait until one more snapshot of a source is stored; give its sequence."""
    before = sequences(source)
    more = wait_for(lambda: sequences(source)[len(before) :], f"another snapshot of {source} is stored", _PATIENCE_S)
    return more[-1]


def check_runs(name: str) -> None:
    """See that systemd takes a service for ready."""
    found = run("systemctl", "is-active", name, expect=None).strip(), show(name, "Type"), show(name, "SubState")
    check(found == ("active", "notify", "running"), f"{name} runs: {found}")


def wait_anew(before: dict[str, int], within_s: float) -> None:
    """Wait until each service runs again in another process."""
    for name, pid in before.items():
        wait_for(
            lambda: show(name, "ActiveState") == "active" and main_pid(name) not in (0, pid),  # noqa: B023 - called at once
            f"{name} runs again", within_s,
        )  # fmt: skip


def pids() -> dict[str, int]:
    """Give the processes of both services."""
    return {name: main_pid(name) for name in FOLDERS}


def main_pid(name: str) -> int:
    """Give a service's process; 0 if there is none."""
    return int(show(name, "MainPID"))


def process_file(name: str, what: str) -> str:
    """Read one of the kernel's files about a service's process."""
    return Path(f"/proc/{main_pid(name)}/{what}").read_text(encoding="utf-8")


def show(name: str, what: str) -> str:
    """Give a property of a unit."""
    return run("systemctl", "show", f"{name}.service", "--value", "-p", what).strip()


def listing(folder: Path) -> set[str]:
    """Give the files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(*argv: str, stdin: str = "", expect: int | None = 0, cwd: Path | None = None) -> str:
    """Run a program; give what it printed. Raises: TrialError unless it exits with `expect` (None: whatever)."""
    done = subprocess.run(
        argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd, check=False,
        env={**os.environ, "JINSUO_CENTER_PASSPHRASE": PASSPHRASE},
    )  # fmt: skip
    if expect is not None and done.returncode != expect:
        raise TrialError(f"{' '.join(argv)} exited with {done.returncode}, not {expect}:\n{done.stdout[-2000:]}")
    return done.stdout


def say(text: str) -> None:
    """Tell how it goes."""
    print(f"{_TOLD}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
