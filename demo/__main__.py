# SPDX-License-Identifier: Apache-2.0
"""Tell the story. Every step is a command that anybody can type; the demo types it, shows it, and checks what it does."""

import argparse
import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.hospital import STORY_RECORD, Ward, edit_record, make_database, make_scans
from evidence.digest import sha256
from evidence.encode import encode_json
from terminal.errors import OperatorError
from terminal.language import Language, Text, choose_language
from terminal.printer import Printer

BIN = Path(sys.executable).parent
HOSPITAL, CIVIL = "X013", "X027"


class DemoError(OperatorError):
    """A step did not do what the story says."""

    code = "JS-0003"


@dataclass(frozen=True)
class Story:
    """Where everything lies, and how to tell."""

    root: Path
    out: Printer
    language: Language

    @property
    def center(self) -> Path:
        """The center's folder."""
        return self.root / "center"

    @property
    def hospital_agent(self) -> Path:
        """The hospital's agent folder."""
        return self.root / "agent"

    @property
    def civil_agent(self) -> Path:
        """The second unit's agent folder."""
        return self.root / "agent-civil"

    @property
    def database(self) -> Path:
        """The hospital's live database."""
        return self.root / "hospital" / "his.db"

    @property
    def results(self) -> Path:
        """What a stranger gets."""
        return self.root / "out"

    def chapter(self, number: int, zh: str, en: str) -> None:
        """Begin a step of the story."""
        self.out.say("")
        self.out.say(f"── {number} ── " + Text(zh, en).into(self.language))

    def tell(self, zh: str, en: str) -> None:
        """Say a sentence."""
        self.out.say("   " + Text(zh, en).into(self.language))

    def run(self, *words: object, expect: int = 0, show: bool = True) -> str:
        """Type a command; give what it printed. Raises: DemoError unless it exits with `expect`."""
        line = [str(word) for word in words]
        if show:
            self.out.say("   $ " + " ".join(self._short(word) for word in line))
        done = subprocess.run(  # noqa: S603 - our own commands
            [str(BIN / line[0]), *line[1:]],
            stdout=subprocess.PIPE,
            # Where somebody is watching, the commands draw their own progress bars.
            stderr=None if sys.stderr.isatty() else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        if done.returncode != expect:
            raise DemoError(
                f"{' '.join(line)} ended with {done.returncode}, expected {expect}: {done.stderr or done.stdout}",
                hint="the folders are kept; look at the message above",
            )
        return done.stdout

    def data(self, *words: object, expect: int = 0) -> dict[str, object]:
        """Type a command with --json and read its answer."""
        value = json.loads(self.run(*words, "--json", expect=expect))
        assert isinstance(value, dict)
        return value

    def _short(self, word: str) -> str:
        text = word.replace(str(self.root), "…")
        return f'"{text}"' if " " in text else text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="script/demo", description="Jinsuo's main job, told as a story.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep everything in DIR (must not exist or be empty)")
    parser.add_argument("--lang", choices=[item.value for item in Language])
    options = parser.parse_args(argv)
    language = choose_language(options.lang)
    out = Printer(language)
    if options.keep is not None and options.keep.exists() and any(options.keep.iterdir()):
        out.warn(
            Text(f"{options.keep} 不是空文件夹，请另选一个", f"{options.keep} is not empty; choose another folder")
        )
        return 64
    root = (options.keep or Path(tempfile.mkdtemp(prefix="jinsuo-demo-"))).absolute()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as closing:
            tell_story(Story(root, out, language), closing)
    except OperatorError as err:
        out.warn(f"{err.sentence(language)}\n{err.advice(language)}\n{root}")
        return 1
    if options.keep is None:
        shutil.rmtree(root)
        Story(root, out, language).tell(
            "文件已删除；用 script/demo --keep 目录 可保留。",
            "The files are removed; script/demo --keep DIR keeps them.",
        )
    return 0


def tell_story(story: Story, closing: ExitStack) -> None:
    """Play all chapters in order."""
    began = time.monotonic()
    _set_up(story, closing)
    ward = closing.enter_context(Ward(story.database))
    first = _first_day(story)
    _edit(story)
    second = _second_day(story)
    _compare(story, first, second)
    bundle = _certify(story, second)
    _verify(story, bundle)
    _restore(story, first)
    _end(story, ward.changes, time.monotonic() - began)


def _set_up(story: Story, closing: ExitStack) -> None:
    story.chapter(
        1,
        "档案馆建立登记备份中心；医院和民政局入网",
        "The archives set up a center; a hospital and a civil affairs bureau join",
    )
    port = _free_port()
    story.run(
        "jinsuo-center", "init", story.center, "--origin", "demo.jinsuo.example/log", "--listen", f"127.0.0.1:{port}"
    )
    closing.enter_context(_serving(story, port))
    for unit, name, folder in (
        (HOSPITAL, "市第一人民医院", story.hospital_agent),
        (CIVIL, "市民政局", story.civil_agent),
    ):
        code = story.root / f"{unit}.code"
        story.run("jinsuo-center", "-C", story.center, "unit", "add", unit, "--name", name, "--out", code)
        story.run("jinsuo-agent", "init", folder)
        story.run("jinsuo-agent", "-C", folder, "enroll", "--center", f"https://127.0.0.1:{port}", "--code", code)
    story.database.parent.mkdir(parents=True, exist_ok=True)
    make_database(story.database)
    make_scans(story.root / "scans")
    _write_settings(story.hospital_agent, f"  - name: his\n    kind: sqlite\n    path: {story.database}\n")
    _write_settings(story.civil_agent, f"  - name: scans\n    kind: files\n    path: {story.root / 'scans'}\n")
    story.tell(
        "医院的 HIS 数据库正在使用中：门诊、医嘱、病程记录不断写入。",
        "The hospital's HIS database is live: visits, orders and notes keep being written.",
    )


def _first_day(story: Story) -> int:
    story.chapter(
        2,
        "第一天：取一致快照，送到中心，逐字节复核，锁进证据日志",
        "Day 1: a consistent snapshot, re-checked byte by byte, locked in the evidence log",
    )
    taken = story.data("jinsuo-agent", "-C", story.hospital_agent, "snapshot", "his")
    story.run("jinsuo-agent", "-C", story.civil_agent, "snapshot", "scans")
    snapshot = _only(taken, "snapshots")
    story.tell(
        f"his#{snapshot['sequence']}：{snapshot['tables']} 张表，{snapshot['rows']} 行；"
        f"日志 log@{snapshot['log_index']}，级别 {snapshot['level']}。",
        f"his#{snapshot['sequence']}: {snapshot['tables']} tables, {snapshot['rows']} rows; "
        f"log@{snapshot['log_index']}, level {snapshot['level']}.",
    )
    return int(str(snapshot["sequence"]))


def _edit(story: Story) -> None:
    story.chapter(3, "夜里，有人改了一份两年前的病程记录", "At night somebody edits a progress note of two years ago")
    edit_record(story.database)
    story.tell(
        f"病程记录 {STORY_RECORD} 的内容被替换，数据库里不留痕迹。",
        f"Note {STORY_RECORD} is replaced; the database itself keeps no trace.",
    )


def _second_day(story: Story) -> int:
    story.chapter(
        4,
        "第二天：再取快照；民政局的代理联署同一检查点",
        "Day 2: the next snapshot; the other unit's agent cosigns the same log",
    )
    taken = story.data("jinsuo-agent", "-C", story.hospital_agent, "snapshot", "his")
    story.run("jinsuo-agent", "-C", story.civil_agent, "snapshot", "scans")
    snapshot = _only(taken, "snapshots")
    story.tell(
        f"his#{snapshot['sequence']} 只传了变化的部分：{int(str(snapshot['sent_bytes'])) // 1024} KiB。",
        f"his#{snapshot['sequence']} sent only what changed: {int(str(snapshot['sent_bytes'])) // 1024} KiB.",
    )
    return int(str(snapshot["sequence"]))


def _compare(story: Story, first: int, second: int) -> None:
    story.chapter(5, "比对两天：改动前 → 改动后", "Comparing the two days: before → after")
    printed = story.run(
        "jinsuo-center",
        "-C",
        story.center,
        "diff",
        HOSPITAL,
        "his",
        first,
        second,
        "--table",
        "病程记录",
        "--lang",
        story.language.value,
    )
    shown = [line for line in printed.splitlines() if str(STORY_RECORD) in line or "→" in line]
    for line in shown[:8]:
        story.out.say("     " + line)
    if not any(str(STORY_RECORD) in line for line in printed.splitlines()):
        raise DemoError(f"the comparison does not show record {STORY_RECORD}", hint=printed[:2000])


def _certify(story: Story, second: int) -> Path:
    story.chapter(
        6,
        "为这份记录出具技术证明（邻居隐藏），附信任策略",
        "A technical certificate for that record alone, its neighbours hidden, and a trust policy",
    )
    story.results.mkdir(exist_ok=True)
    bundle = story.results / f"病程记录-{STORY_RECORD}.jinsuo"
    story.run(
        "jinsuo-center",
        "-C",
        story.center,
        "certify",
        HOSPITAL,
        "his",
        second,
        "病程记录",
        STORY_RECORD,
        "--out",
        bundle,
    )
    policy = story.run("jinsuo-center", "-C", story.center, "key", "--policy")
    (story.results / "trust.policy").write_text(policy, encoding="utf-8")
    return bundle


def _verify(story: Story, bundle: Path) -> None:
    story.chapter(7, "任何人离线核验；改动一个字节即被识破", "Anybody verifies offline; one flipped byte is found out")
    policy = story.results / "trust.policy"
    printed = story.run("jinsuo-verify", bundle, "--policy", policy, "--lang", story.language.value)
    for line in printed.splitlines():
        story.out.say("     " + line)
    raw = bytearray(bundle.read_bytes())
    position = raw.index(b'"line":"') + 20
    raw[position] ^= 1
    _expect_refusal(
        story,
        policy,
        bytes(raw),
        f"改动第 {position} 字节后：不成立",
        f"With byte {position} flipped: it does not hold",
    )
    document = json.loads(bundle.read_bytes())
    shown = base64.b64decode(document["rows"][0]["line"])
    document["rows"][0]["line"] = base64.b64encode(shown.replace(b"36.8", b"38.6")).decode()
    document["checksum"] = sha256(encode_json({k: v for k, v in document.items() if k != "checksum"})).hex()
    _expect_refusal(
        story, policy, encode_json(document),
        "把体温改回 38.6 并重算校验和：仍不成立", "With the temperature put back to 38.6 and a new checksum: still not",
    )  # fmt: skip


def _expect_refusal(story: Story, policy: Path, raw: bytes, zh: str, en: str) -> None:
    """Verify a forged bundle; tell which step fails."""
    forged = story.root / "forged.jinsuo"
    forged.write_bytes(raw)
    refused = story.data("jinsuo-verify", forged, "--policy", policy, expect=1)
    failed = [step for step in _steps(refused) if step.get("outcome") == "does-not-hold"]
    if not failed:
        raise DemoError("a forged bundle was not refused by any step", hint=str(refused)[:500])
    number, title = failed[0].get("number"), failed[0].get("title")
    words = title if isinstance(title, dict) else {}
    story.tell(f"{zh}，第 {number} 步失败（{words.get('zh')}）。", f"{en}; step {number} fails ({words.get('en')}).")


def _restore(story: Story, first: int) -> None:
    story.chapter(8, "恢复第一天，并证明恢复得和当时一样", "Day 1 is restored, and proven to be as it was")
    target = story.results / "restored.sqlite"
    printed = story.run(
        "jinsuo-center",
        "-C",
        story.center,
        "restore",
        HOSPITAL,
        "his",
        first,
        "--to",
        f"sqlite:///{target}",
        "--lang",
        story.language.value,
    )
    for line in printed.splitlines()[-12:]:
        story.out.say("     " + line)


def _end(story: Story, changes: int, took_s: float) -> None:
    story.out.say("")
    story.tell(
        f"完成，用时 {took_s:.0f} 秒；其间医院照常工作，提交了 {changes} 笔事务。",
        f"Done in {took_s:.0f} s; meanwhile the hospital went on working and committed {changes} transactions.",
    )
    for path, zh, en in (
        (story.center, "中心（存储、证据日志、目录）", "center: store, evidence log, catalog"),
        (story.hospital_agent, "医院的代理", "the hospital's agent"),
        (story.results, "给陌生人的：证明、信任策略、恢复的副本", "for a stranger: certificate, policy, restored copy"),
    ):
        story.tell(f"{path}  {zh}", f"{path}  {en}")


@contextmanager
def _serving(story: Story, port: int) -> Iterator[None]:
    log = (story.root / "center.log").open("wb")
    process = subprocess.Popen(  # noqa: S603 - our own command
        [str(BIN / "jinsuo-center"), "-C", str(story.center), "serve"], stdout=log, stderr=log
    )
    try:
        _wait(lambda: process.poll() is not None or _answers(port), 30)
        if process.poll() is not None:
            raise DemoError("the center did not start", hint=f"see {story.root / 'center.log'}")
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def _write_settings(folder: Path, sources: str) -> None:
    path = folder / "agent.yaml"
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("sources:")]
    path.write_text("\n".join(kept) + "\nsources:\n" + sources, encoding="utf-8")


def _only(answer: dict[str, object], name: str) -> dict[str, object]:
    items = answer[name]
    assert isinstance(items, list) and len(items) == 1
    item = items[0]
    assert isinstance(item, dict)
    return item


def _steps(report: dict[str, object]) -> list[dict[str, object]]:
    steps = report.get("steps")
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(condition: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise DemoError(f"nothing happened for {timeout_s:.0f} s", hint="see center.log")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
