# SPDX-License-Identifier: Apache-2.0
"""Dump commands at work: their bytes, their ends, their limits, and that nothing of them runs on."""

import hashlib
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.collectors.base import Heeding, Severity
from agent.collectors.command import CommandCollector, CommandSettings, Output
from agent.collectors.command.child import PlainChild
from agent.errors import (
    AgentError,
    BudgetError,
    CommandFailedError,
    PausedError,
    SourceChangedError,
    SourceError,
    SpoolError,
)
from evidence.manifest.statement import Consistency
from evidence.rows.line import Token
from terminal.language import Language
from tests.builders.commands import (
    collector_of,
    command_of,
    is_running,
    pids_in,
    read_dumps,
    settings_of,
    wait_until,
)
from tests.fakes.blobsink import MemorySink
from tests.fakes.machine import FakeTime

PASSWORD = "pass-wört-e61f4d"


def _token(content: bytes) -> Token:
    return Token(hashlib.sha256(content).digest(), len(content))


def _fail(collector: CommandCollector, kind: type[AgentError], heed: Callable[[], None] = lambda: None) -> AgentError:
    with pytest.raises(kind) as caught, collector.open_view() as view:
        view.heed = heed
        read_dumps(view)
    assert caught.value.hint
    assert "\n" not in str(caught.value) + caught.value.hint
    return caught.value


# What a dump is


def test_standard_output_is_the_dump_byte_for_byte() -> None:
    sink = MemorySink()
    with collector_of("import sys; sys.stdout.buffer.write(bytes(range(256)) * 5000)").open_view() as view:
        assert read_dumps(view, sink) == {b"his.dmp": _token(bytes(range(256)) * 5000)}
        assert view.notes() == (
            "python ended with exit status 0",
            "consistency `live` is the word of the settings: what python does, the agent cannot see",
        )
        assert view.documents() == []
    assert list(sink.blobs.values()) == [bytes(range(256)) * 5000]


def test_consistency_is_what_the_settings_say_and_the_notes_say_whose_word_that_is() -> None:
    with collector_of("print(1)", consistency=Consistency.CONSISTENT).open_view() as view:
        assert view.consistency is Consistency.CONSISTENT
        read_dumps(view)
        assert any("`consistent` is the word of the settings" in note for note in view.notes())


def test_words_of_a_command_meet_no_shell(tmp_path: Path) -> None:
    words = ["$(touch x)", "`id`", "a b", "'\"", "*", "; exit 3", "住院", ""]
    code = "import sys; sys.stdout.buffer.write('|'.join(sys.argv[1:]).encode())"
    with collector_of(code, *words, cwd=tmp_path).open_view() as view:
        assert read_dumps(view) == {b"his.dmp": _token("|".join(words).encode())}
    assert list(tmp_path.iterdir()) == []


def test_command_sees_the_folder_and_the_environment_that_the_settings_give_and_no_more(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), sorted(os.environ.items()), flush=True)"
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "JINSUO_SECRET_HIS": "x", "PGPASSWORD": "another's"}
    collector = CommandCollector(settings_of(code, cwd=tmp_path, env={"PGUSER": "读", "PATH": "/bin"}), environ)
    seen = {"LANG": "C.UTF-8", "PATH": "/bin", "PGUSER": "读"}
    with collector.open_view() as view:
        said = f"{tmp_path} {sorted(seen.items())}\n".encode()
        assert read_dumps(view) == {b"his.dmp": _token(said)}


def test_command_that_asks_for_a_password_gets_no_answer_and_does_not_wait() -> None:
    with collector_of("import sys; print(repr(sys.stdin.read()))").open_view() as view:
        assert read_dumps(view) == {b"his.dmp": _token(b"''\n")}


def test_end_of_what_a_command_says_is_a_document() -> None:
    with collector_of("import sys; sys.stderr.write('警告 2 tables\\n'); print(1)").open_view() as view:
        read_dumps(view)
        (document,) = view.documents()
    assert (document.name, document.body) == ("stderr.txt", "警告 2 tables\n".encode())


def test_flood_of_words_neither_stops_the_dump_nor_fills_the_memory() -> None:
    code = """
import sys, threading
def flood():
    for i in range(300_000): sys.stderr.write(f"row {i:040}\\n")
thread = threading.Thread(target=flood)
thread.start()
sys.stdout.buffer.write(bytes(3_000_000))
thread.join()
"""
    tracemalloc.start()
    try:
        with collector_of(code).open_view() as view:
            assert read_dumps(view, MemorySink(keep=False)) == {b"his.dmp": _token(bytes(3_000_000))}
            (document,) = view.documents()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(document.body) == 64 << 10
    assert document.body.endswith(b"row %040d\n" % 299_999)
    assert "stderr.txt holds the end of 13500000 bytes" in view.notes()
    assert peak < 16 << 20


def test_memory_is_bounded_whatever_the_size_of_the_dump() -> None:
    code = "import sys\nfor i in range(300): sys.stdout.buffer.write(b'%d' % i * 400_000)"
    tracemalloc.start()
    try:
        with collector_of(code).open_view() as view:
            (token,) = read_dumps(view, MemorySink(keep=False)).values()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert token.size > 300 << 20
    assert peak < 16 << 20


def test_sink_that_is_slow_is_not_the_commands_stall() -> None:
    clock = FakeTime()

    class SlowSink(MemorySink):
        def put(self, raw):  # type: ignore[no-untyped-def]
            first = raw.read(1)
            # Longer than the stall limit: meanwhile the command waits for us, behind a full pipe.
            clock.now += 1000
            token = super().put(raw)
            return Token(hashlib.sha256(first + self.blobs[token.sha256]).digest(), token.size + 1)

    code = "import sys; sys.stdout.buffer.write(bytes(20_000_000))"
    with collector_of(code, clock=clock).open_view() as view:
        assert read_dumps(view, SlowSink()) == {b"his.dmp": _token(bytes(20_000_000))}


def test_trouble_of_the_sink_is_told_as_it_is_and_ends_the_command(tmp_path: Path) -> None:
    class FullSink(MemorySink):
        def put(self, raw):  # type: ignore[no-untyped-def]
            raw.read(1)
            raise SpoolError("the spool is full", hint="make room")

    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}\\n'); print(1, flush=True)"
    with pytest.raises(SpoolError), collector_of(f"{code}; time.sleep(600)").open_view() as view:
        read_dumps(view, FullSink())
    (pid,) = pids_in(tmp_path / "pid")
    assert wait_until(lambda: not is_running(pid))


# Files that it leaves


def test_file_that_is_left_is_the_dump_and_stays_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "full.bak"
    code = f"print('Processed 5 pages'); open({str(path)!r}, 'wb').write(b'TAPE' * 1000)"
    for remove in (False, True):
        with collector_of(code, output=Output.FILE, path=path, remove=remove).open_view() as view:
            assert read_dumps(view) == {b"his.dmp": _token(b"TAPE" * 1000)}
            assert [(d.name, d.body) for d in view.documents()] == [("stdout.txt", b"Processed 5 pages\n")]
            assert path.exists()
        assert path.exists() is not remove


def test_files_of_a_pattern_are_a_row_each_and_older_ones_are_not_todays(tmp_path: Path) -> None:
    (tmp_path / "his_0.dmp").write_bytes(b"last week's")
    (tmp_path / "his_3.dmp").write_bytes(b"last week's, written over today")
    (tmp_path / "his_9.dmp").symlink_to("/etc/passwd")
    (tmp_path / "his.log").write_bytes(b"not wanted")
    code = "for i in (10, 3, 2): open(f'his_{i}.dmp', 'wb').write(b'%d' % i)"
    collector = collector_of(code, output=Output.FILE, path=tmp_path / "his_*.dmp", cwd=tmp_path, remove=True)
    with collector.open_view() as view:
        assert list(read_dumps(view).items()) == [
            (b"his_10.dmp", _token(b"10")),
            (b"his_2.dmp", _token(b"2")),
            (b"his_3.dmp", _token(b"3")),
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["his.log", "his_0.dmp", "his_9.dmp"]


def test_file_of_an_earlier_run_is_not_taken_for_todays(tmp_path: Path) -> None:
    path = tmp_path / "full.bak"
    path.write_bytes(b"yesterday's")
    err = _fail(collector_of("pass", output=Output.FILE, path=path, remove=True), CommandFailedError)
    assert "ended as if it had succeeded, but there is no new file" in str(err)
    assert path.read_bytes() == b"yesterday's"


def test_link_in_place_of_a_dump_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "private").write_bytes(b"another's")
    code = f"import os; os.symlink('private', {str(tmp_path / 'full.bak')!r})"
    _fail(collector_of(code, output=Output.FILE, path=tmp_path / "full.bak"), CommandFailedError)


def test_what_a_failed_command_left_is_removed_where_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "full.bak"
    code = f"import sys; open({str(path)!r}, 'wb').write(b'half'); sys.exit(1)"
    _fail(collector_of(code, output=Output.FILE, path=path, remove=True), CommandFailedError)
    assert not path.exists()


def test_file_that_is_still_written_after_the_end_is_not_a_dump(tmp_path: Path) -> None:
    path = tmp_path / "full.bak"

    class TouchingSink(MemorySink):
        def put(self, raw):  # type: ignore[no-untyped-def]
            token = super().put(raw)
            with path.open("ab") as file:
                file.write(b"more")
            return token

    collector = collector_of(f"open({str(path)!r}, 'wb').write(b'x')", output=Output.FILE, path=path)
    with pytest.raises(SourceChangedError, match="still being written"), collector.open_view() as view:
        read_dumps(view, TouchingSink())


def test_growing_file_is_a_sign_of_life(tmp_path: Path) -> None:
    path, clock = tmp_path / "full.bak", FakeTime()
    # A byte for each that it is asked for.
    code = f"""
import os, time
with open({str(path)!r}, "wb", buffering=0) as file:
    for i in range(3):
        while not os.path.exists({str(tmp_path)!r} + f"/{{i}}"):
            time.sleep(0.01)
        file.write(b"x")
"""

    def heed() -> None:
        grown = path.stat().st_size if path.exists() else 0
        if grown < 3 and not (tmp_path / f"{grown}").exists():
            (tmp_path / f"{grown}").touch()
            assert wait_until(lambda: path.exists() and path.stat().st_size > grown)
            clock.now += 90

    with collector_of(code, output=Output.FILE, path=path, stall_timeout_s=100.0, clock=clock).open_view() as view:
        view.heed = heed
        assert read_dumps(view) == {b"his.dmp": _token(b"xxx")}
    assert clock.now > 200


# Bad ends


def test_failing_command_fails_the_snapshot_with_its_last_words() -> None:
    code = "import sys; print('half a dump'); sys.stderr.write('a\\nORA-01555: 快照过旧\\n \\n'); sys.exit(3)"
    err = _fail(collector_of(code), CommandFailedError)
    assert str(err) == "python ended with exit status 3"
    assert err.hint == "it said: ORA-01555: 快照过旧"
    assert err.sentence(Language.ZH) == "python 以退出码 3 结束"
    assert err.advice(Language.ZH) == "它最后说：ORA-01555: 快照过旧"
    assert err.code == "JS-2130"


def test_status_that_the_settings_take_for_success_is_one() -> None:
    with collector_of("import sys; print(1); sys.exit(3)", exit_codes=(0, 3)).open_view() as view:
        assert read_dumps(view) == {b"his.dmp": _token(b"1\n")}
        assert view.notes()[0] == "python ended with exit status 3"
    _fail(collector_of("print(1)", exit_codes=(3,)), CommandFailedError)


def test_command_ended_by_a_signal_fails_the_snapshot() -> None:
    err = _fail(collector_of("import os; print(1, flush=True); os.kill(os.getpid(), 9)"), CommandFailedError)
    assert str(err) == "python was ended by signal 9 (SIGKILL)"


@pytest.mark.parametrize("output", list(Output))
def test_success_without_a_byte_is_a_failure(tmp_path: Path, output: Output) -> None:
    path = tmp_path / "a.dmp" if output is Output.FILE else None
    err = _fail(collector_of(f"open({str(tmp_path / 'a.dmp')!r}, 'w')", output=output, path=path), CommandFailedError)
    assert "empty" in str(err)


def test_program_that_is_not_there_or_no_program_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    for word in (str(tmp_path / "gone"), "no-such-program-jinsuo", "./relative", "a/b", str(tmp_path), "text"):
        collector = CommandCollector(CommandSettings((word, "--password=x"), "a.dmp"), {})
        with pytest.raises(SourceError, match="cannot be started") as caught, collector.open_view():
            pass
        assert "password" not in str(caught.value)
    err = _fail(CommandCollector(CommandSettings((str(tmp_path / "text"), "x"), "a.dmp"), {}), SourceError)
    assert "Exec format error" in str(err)
    err = _fail(collector_of("print(1)", cwd=tmp_path / "gone"), SourceError)
    assert "No such file" in str(err)


# Limits, and that nothing runs on

_FAMILY = """
import os, signal, subprocess, sys, time
if sys.argv[2] == "deaf": signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "a") as file: file.write(f"{os.getpid()}\\n")
if len(sys.argv) > 3:
    subprocess.Popen([sys.executable, "-I", "-S", "-c", sys.argv[3], *sys.argv[1:3]])
print("begun", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("ears", ["hearing", "deaf"])
def test_stalled_command_is_ended_with_everything_it_started(tmp_path: Path, ears: str) -> None:
    pids, clock = tmp_path / "pids", FakeTime()

    def heed() -> None:
        if len(pids_in(pids)) == 2:
            clock.now += 200

    words = (str(pids), ears, _FAMILY)
    err = _fail(collector_of(_FAMILY, *words, grace_s=0.3, clock=clock), BudgetError, heed)
    assert "gave no byte for 200 s and was stopped" in str(err)
    assert wait_until(lambda: not any(map(is_running, pids_in(pids))))


@pytest.mark.parametrize("output", Output)
def test_command_that_is_waited_for_is_ended_when_its_reader_is_told_to_stop(tmp_path: Path, output: Output) -> None:
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(600)"

    def heed() -> None:
        if pids_in(tmp_path / "pid"):
            raise PausedError("paused", hint="wait")

    more = {"output": output, "path": tmp_path / "his.dmp"} if output is Output.FILE else {}
    with pytest.raises(PausedError), collector_of(code, **more).open_view() as view:
        assert isinstance(view, Heeding)
        view.heed = heed
        read_dumps(view)
    (pid,) = pids_in(tmp_path / "pid")
    assert wait_until(lambda: not is_running(pid))


def test_command_that_never_ends_is_ended_at_its_limit_though_it_goes_on_talking() -> None:
    code = "import time\nwhile True: print(1, flush=True); time.sleep(0.05)"
    err = _fail(collector_of(code, timeout_s=1.0), BudgetError)
    assert "did not end within 1 s" in str(err)


def test_command_that_closes_its_output_and_lives_on_is_ended_at_the_limit() -> None:
    err = _fail(
        collector_of("import os, time; print(1, flush=True); os.close(1); time.sleep(600)", stall_timeout_s=1.0),
        BudgetError,
    )
    assert "gave no byte" in str(err)


def test_what_a_command_left_running_in_its_group_is_ended_with_it(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
open({str(tmp_path / "pids")!r}, "w").write(f"{{child.pid}}\\n")
print(1)
"""
    with collector_of(code).open_view() as view:
        read_dumps(view)
    (pid,) = pids_in(tmp_path / "pids")
    assert wait_until(lambda: not is_running(pid))


def test_reading_that_is_broken_off_ends_the_command(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(KeyError), collector_of(_FAMILY, str(pids), "hearing", _FAMILY).open_view() as view:

        class Broken(MemorySink):
            def put(self, raw):  # type: ignore[no-untyped-def]
                raw.read(1)
                assert wait_until(lambda: len(pids_in(pids)) == 2)
                raise KeyError("somewhere else")

        read_dumps(view, Broken())
    assert wait_until(lambda: not any(map(is_running, pids_in(pids))))


_AGENT = """
import sys
from tests.builders.commands import collector_of, read_dumps
with collector_of(sys.argv[2], *sys.argv[3:], stall_timeout_s=600.0).open_view() as view:
    read_dumps(view)
"""


def test_killed_agent_leaves_no_command_behind(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    root = Path(__file__).parents[5]
    agent = subprocess.Popen(
        [sys.executable, "-c", _AGENT, "-", _FAMILY, str(pids), "deaf", _FAMILY], cwd=root, env={**os.environ}
    )
    try:
        assert wait_until(lambda: len(pids_in(pids)) == 2)
        assert all(map(is_running, pids_in(pids)))
    finally:
        agent.kill()
        agent.wait()
    assert wait_until(lambda: not any(map(is_running, pids_in(pids))))


def test_killed_keeper_is_noticed_and_its_command_ended(tmp_path: Path) -> None:
    clock = FakeTime()
    code = f"""
import os, signal, time
print(1, flush=True)
os.kill(os.getppid(), signal.SIGKILL)
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}}\\n")
time.sleep(600)
"""

    def heed() -> None:
        if pids_in(tmp_path / "pids"):
            clock.now += 200

    _fail(collector_of(code, clock=clock), BudgetError, heed)
    (pid,) = pids_in(tmp_path / "pids")
    assert wait_until(lambda: not is_running(pid))


def test_command_without_a_keeper_is_read_waited_for_and_stopped(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    child = PlainChild(command_of("import sys; print(1); sys.exit(3)"), env, tmp_path, 5.0)
    assert child.wait(60.0) == 3
    assert child.stdout.read() == b"1\n"
    child.stop()
    lasting = PlainChild(command_of("import os, time; print(os.getpid(), flush=True); time.sleep(600)"), env, None, 5.0)
    pid = int(lasting.stdout.readline())
    assert lasting.wait(0.05) is None
    assert is_running(pid)
    lasting.stop()
    lasting.stop()
    assert not is_running(pid)
    for each in (child, lasting):
        each.stdout.close()
        each.stderr.close()
    with pytest.raises(SourceError, match="cannot be started"):
        PlainChild((str(tmp_path / "gone"), "--password=x"), env, None, 5.0)


def test_no_descriptor_is_left_open() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with collector_of("print(1)").open_view() as view:
        read_dumps(view)
    before = count()
    for _ in range(3):
        with collector_of("print(1)").open_view() as view:
            read_dumps(view)
        _fail(collector_of("import sys; sys.exit(1)"), CommandFailedError)
        _fail(CommandCollector(CommandSettings(("/dev/null",), "a"), {}), SourceError)
    assert count() <= before
    assert before < resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# Secrets


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "gb18030"])
def test_password_shows_neither_in_words_nor_in_errors(tmp_path: Path, stream: str, encoding: str) -> None:
    code = f"""
import os, sys
text = "login with " + os.environ["DB_PASSWORD"] + " refused\\n"
sys.{stream}.buffer.write(text.encode({encoding!r}) * 3000)
sys.{stream}.buffer.flush()
open({str(tmp_path / "a")!r}, "w").write("x")
sys.exit(int(sys.argv[1]))
"""
    changes = {"env": {"DB_PASSWORD": PASSWORD}, "secrets": (PASSWORD,), "output": Output.FILE, "path": tmp_path / "a"}
    collector = collector_of(code, "0", **changes)
    with collector.open_view() as view:
        read_dumps(view)
        texts = b"".join(d.body for d in view.documents()) + "".join(view.notes()).encode()
    assert texts.count(b"***") > 400
    err = _fail(collector_of(code, "1", **changes), CommandFailedError)
    said = texts + f"{err} {err.hint} {err!r} {collector._settings!r}".encode()
    for word in (PASSWORD.encode(encoding), PASSWORD.encode()):
        # Not even a part of it, where the text was cut.
        assert word[3:] not in said
        assert word[:-3] not in said


def test_password_is_in_no_command_line(tmp_path: Path) -> None:
    code = """
import os, pathlib
parent = pathlib.Path(f"/proc/{os.getppid()}")
print(parent.joinpath("cmdline").read_bytes(), pathlib.Path("/proc/self/cmdline").read_bytes())
"""
    sink = MemorySink()
    with collector_of(code, env={"DB_PASSWORD": PASSWORD}, secrets=(PASSWORD,)).open_view() as view:
        read_dumps(view, sink)
    (said,) = sink.blobs.values()
    assert b"keeper.py" in said
    assert PASSWORD.encode() not in said
    assert ascii(PASSWORD.encode())[2:-1].encode() not in said


# Check


def test_check_finds_what_will_go_wrong(tmp_path: Path) -> None:
    def failures(collector: CommandCollector) -> str:
        findings = [f for f in collector.check() if f.severity is Severity.FAIL]
        assert all(f.hint for f in findings)
        return " | ".join(str(f.message) for f in findings)

    assert failures(collector_of("print(1)")) == ""
    assert "cannot be started" in failures(CommandCollector(CommandSettings(("no-such-program",), "a"), {}))
    assert "there is no folder" in failures(collector_of("print(1)", cwd=tmp_path / "gone"))
    path = tmp_path / "gone" / "a.dmp"
    assert "cannot be read" in failures(collector_of("print(1)", output=Output.FILE, path=path))
    for word in (
        "--password=hunter2",
        "scott/tiger@his",
        "sys/x@//host:1521/his",
        "-PASSWORD:x",
        "mongodb://u:hunter2@h/db",
    ):
        said = failures(collector_of("print(1)", word))
        assert "every account sees command lines" in said, word
        assert "hunter2" not in said
    assert "every account" in failures(collector_of("print(1)", "-phunter2", secrets=("hunter2",)))
    for word in (
        "--no-password",
        "/@his",
        "DIRECTORY=D",
        "FLASHBACK_TIME=SYSTIMESTAMP",
        "/data/dumps",
        "a@b",
        "pwd",
        "mongodb://u@h/db",
        "http://h:80/a@b",
    ):
        assert failures(collector_of("print(1)", word)) == "", word


def test_check_warns_that_a_compressed_dump_shares_nothing_and_says_what_a_dump_is_for(tmp_path: Path) -> None:
    path = tmp_path / "a.bak"
    path.write_bytes(b"MSSQLBAK" + bytes(100))
    for collector in (
        collector_of("print(1)", output=Output.FILE, path=path),
        CommandCollector(CommandSettings((*command_of("print(1)"), "--gzip"), "a"), {}),
    ):
        warned = [
            f.message.en for f in collector.check() if f.severity is Severity.WARN and not isinstance(f.message, str)
        ]
        assert any("shares no bytes with other days' dumps" in text for text in warned)
    texts = [str(f.message) for f in collector_of("print(1)").check()]
    assert any("brings a whole system back" in text and "procedures" in text for text in texts)


def test_rights_are_told_in_the_words_of_the_tool() -> None:
    for program, word in {
        "/usr/bin/pg_dump": "pg_read_all_data", "expdp": "DATAPUMP_EXP_FULL_DATABASE", "sqlcmd.exe": "db_backupoperator",
        "mongodump": "backup", "mariadb-dump": "SHOW VIEW", "other": "needs to read everything",
    }.items():  # fmt: skip
        text = CommandCollector(CommandSettings((program,), "a"), {}).grants().en
        assert word in text
        assert text.endswith("\n")
