# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a dump command. Data only; nothing is started or opened here.

Invariant: the name of a dump is one component of a path, so that a dump never makes a folder when it is restored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePath

from agent.errors import SourceError
from evidence.manifest.statement import Consistency
from terminal.language import Text

PATTERN_SIGNS = frozenset("*?[")


class Output(StrEnum):
    """Where the dump comes out: on the command's standard output, or in the file or files that it leaves."""

    STDOUT = "stdout"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """A dump command.

    `argv` is run as it stands, without a shell; its first word is a plain name or an absolute path. `name` is the
    dump's path in `@files`. For `Output.FILE`, `path` is the file that the command leaves, or a pattern (`*`, `?`,
    `[…]`) in its last part: then each file is a row of its own under its own name. `remove`: files that the command
    made are removed when they have been read.
    `env` is what the command finds in its environment beside a few of the system's variables; `secrets` are those of
    its values that must not show anywhere. `stall_timeout_s` bounds the time without any sign of life, `timeout_s` the
    whole; `grace_s` lies between asking it to end and ending it.
    """

    argv: tuple[str, ...]
    name: str
    output: Output = Output.STDOUT
    path: Path | None = None
    remove: bool = False
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    cwd: Path | None = None
    timeout_s: float = 12 * 3600.0
    stall_timeout_s: float = 1800.0
    exit_codes: tuple[int, ...] = (0,)
    consistency: Consistency = Consistency.LIVE
    grace_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise SourceError(
                Text(zh="命令里没有程序", en="the command has no program"),
                hint=Text(zh="把程序写作 `argv` 的第一项", en="name it as the first word of `argv`"),
            )
        if (self.output is Output.FILE) != (self.path is not None):
            raise SourceError(
                Text(
                    zh="只有 `output` 为 file 时才设 `path`，且必须设", en="`path` is set exactly if `output` is file"
                ),
                hint=Text(zh="命令会留下文件时，两项都要设", en="set both for a command that leaves a file"),
            )
        if not is_dump_name(self.name):
            raise SourceError(
                Text(zh=f"{self.name!r} 不能用作导出文件的名称", en=f"{self.name!r} cannot name a dump"),
                hint=Text(zh="用不含 / 和 \\ 的名称，例如 his.dmp", en="use a name without / and \\, such as his.dmp"),
            )

    @property
    def program(self) -> str:
        """Give the name of the program alone: the rest of the words may say more than a message should."""
        return PurePath(self.argv[0]).name

    @property
    def is_pattern(self) -> bool:
        """Tell whether `path` may stand for several files."""
        return self.path is not None and bool(PATTERN_SIGNS & set(self.path.name))


def is_dump_name(name: str) -> bool:
    """Tell whether `name` can be the path of a dump in `@files`: one component, printable."""
    return name not in ("", ".", "..") and not set(name) & set("/\\") and name.isprintable()
