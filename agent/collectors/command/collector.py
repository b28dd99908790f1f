# SPDX-License-Identifier: Apache-2.0
"""The collector for one dump command: opens views, examines the command and its folder, says which rights it needs."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agent.collectors.base import Finding, Severity
from agent.collectors.command.environment import child_environment
from agent.collectors.command.forms import HEAD_BYTES, describe_form, find_compressing_word
from agent.collectors.command.leavings import find_files, open_left
from agent.collectors.command.rights import describe_rights
from agent.collectors.command.run import find_program
from agent.collectors.command.settings import CommandSettings, Output
from agent.collectors.command.view import CommandView
from agent.errors import SourceError
from terminal.language import Language, Text

_MIB: Final = 1 << 20
_ROOM_BYTES: Final = 1 << 30
_PASSWORD: Final = re.compile(
    r"(?i)(?:.*[-_;])?(?:password|passwd|pwd)\s*[=:]\s*\S.*|[\w$#]+/[^@/\\:\s]+@\S*|[\w+]+://[^/\s:@]*:[^/\s@]+@.*"
)
"""A word that looks as if it held a password: `--password=…`, `user/password@db`, `postgresql://user:password@host`."""


class CommandCollector:
    """Run one command. `environ` is the agent's own environment, of which a command sees a few variables.

    `clock` is monotonic, in seconds.
    """

    def __init__(
        self, settings: CommandSettings, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._clock = clock

    @contextmanager
    def open_view(self) -> Iterator[CommandView]:
        """Make ready; the command runs when its table is read. Raises: SourceError."""
        find_program(self._settings, self._environment())
        if self._settings.output is Output.FILE:
            find_files(self._settings)
        view = CommandView(self._settings, self._environ, self._clock)
        try:
            yield view
        finally:
            view.close()

    def check(self) -> Sequence[Finding]:
        """Examine the program, the place of its dump, and what a dump alone cannot do; never raises."""
        return [
            self._check_program(),
            *self._check_words(),
            *(self._check_place() if self._settings.path else ()),
            *self._check_form(),
            self._advise(),
        ]

    def grants(self) -> Text:
        """Give the words for the account that the command works with."""
        return describe_rights(self._settings)

    def _environment(self) -> dict[str, str]:
        return child_environment(self._environ, self._settings.env, os.defpath)

    def _check_program(self) -> Finding:
        subject = self._settings.program
        try:
            path = find_program(self._settings, self._environment())
        except SourceError as err:
            return _refusal(subject, err)
        cwd = self._settings.cwd
        if cwd is not None and not cwd.is_dir():
            hint = Text(zh="检查 cwd", en="check `cwd`")
            return Finding(Severity.FAIL, subject, Text(zh=f"没有目录 {cwd}", en=f"there is no folder {cwd}"), hint)
        return Finding(Severity.OK, subject, Text(zh=f"可以运行：{path}", en=f"can be run: {path}"))

    def _check_words(self) -> Iterator[Finding]:
        subject = self._settings.program
        for number, word in enumerate(self._settings.argv):
            if any(secret in word for secret in self._settings.secrets if secret) or _PASSWORD.fullmatch(word):
                yield Finding(
                    Severity.FAIL,
                    subject,
                    Text(
                        zh=f"argv 的第 {number} 个参数似乎含口令：本机任何账户都看得到命令行",
                        en=f"word {number} of `argv` looks like a password: every account sees command lines",
                    ),
                    Text(
                        zh="经 env 的 secret:名称 给出，或用该工具自己的口令文件、钱包",
                        en="give it by `env` as secret:NAME, or by the tool's own password file or wallet",
                    ),
                )

    def _check_place(self) -> Iterator[Finding]:
        path = self._settings.path
        assert path is not None
        subject, folder = str(path), path.parent
        try:
            found = find_files(self._settings)
            free = shutil.disk_usage(folder).free
        except SourceError as err:
            yield _refusal(subject, err)
            return
        except OSError as err:
            yield Finding(Severity.FAIL, subject, str(err), Text(zh="检查 path", en="check `path`"))
            return
        if not os.access(folder, os.W_OK):
            yield Finding(
                Severity.WARN,
                subject,
                Text(zh=f"本账户不能写 {folder}", en=f"this account cannot write to {folder}"),
                Text(
                    zh="若由数据库服务自己写文件则无妨；否则给予写权限。remove 也需要它",
                    en="fine if the database's server writes the file itself; else grant it. `remove` needs it, too",
                ),
            )
        last = sum(identity[1] for identity in found.values())
        room = Text(
            zh=f"卷上空闲 {free // _MIB} MiB，现有转储 {last // _MIB} MiB",
            en=f"{free // _MIB} MiB free there, the dumps there have {last // _MIB} MiB",
        )
        if free < max(2 * last, _ROOM_BYTES):
            hint = Text(zh="腾出空间，或设 remove: true", en="make room, or set `remove: true`")
            yield Finding(Severity.WARN, subject, room, hint)
        else:
            yield Finding(Severity.OK, subject, room)

    def _check_form(self) -> Iterator[Finding]:
        word = find_compressing_word(self._settings.argv)
        why = Text(zh=f"参数 {word}", en=f"its word {word}") if word else self._form_of_last()
        if why is not None:
            yield Finding(
                Severity.WARN,
                self._settings.program,
                Text(
                    zh=f"转储是压缩或加密的（{why.zh}）：与往日的转储没有相同的字节，每天都要全量传输和保存",
                    en=f"the dump is compressed or encrypted ({why.en}): it shares no bytes with other days' dumps, "
                    "and travels and is kept in full each day",
                ),
                Text(
                    zh="让工具不压缩（pg_dump：-Fc -Z0 或纯文本）；金锁会压缩它发送和保存的数据",
                    en="let the tool not compress (pg_dump: plain, or -Fc -Z0); Jinsuo compresses what it sends",
                ),
            )

    def _form_of_last(self) -> Text | None:
        """Give how the dump that lies there now is packed."""
        if self._settings.output is not Output.FILE:
            return None
        try:
            for path in sorted(find_files(self._settings)):
                form = describe_form(_read_head(path))
                if form is not None:
                    return Text(zh=f"{path.name}：{form}", en=f"{path.name} is {form}")
        except (SourceError, OSError):
            return None  # told by the check of the place
        return None

    def _advise(self) -> Finding:
        return Finding(
            Severity.OK,
            self._settings.program,
            Text(
                zh="逐行登记的来源之外，每周一次这样的原生备份，才能恢复整个系统（存储过程、账户、作业）",
                en="beside a source that reads rows, such a native backup once a week is what brings a whole system back "
                "(procedures, accounts, jobs)",
            ),
        )


def _refusal(subject: str, err: SourceError) -> Finding:
    message = Text(zh=err.sentence(Language.ZH), en=err.sentence(Language.EN))
    return Finding(Severity.FAIL, subject, message, Text(zh=err.advice(Language.ZH), en=err.advice(Language.EN)))


def _read_head(path: Path) -> bytes:
    with open(open_left(path), "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(HEAD_BYTES)
