# SPDX-License-Identifier: Apache-2.0
"""What a person may set about a folder source, and which paths that selects. Pure."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from agent.errors import SourceError
from terminal.language import Text


@dataclass(frozen=True, slots=True)
class FilesSettings:
    """A folder source.

    Patterns: `*` and `?` stop at `/`, `**` does not, `[…]` is a set of characters. A pattern without `/` is matched
    with names at any depth, one with `/` with the whole path below `path`. An excluded folder is not entered. If
    something is included, files and links are taken only where they match; folders are always.
    A file that changes while it is read is read again, `attempts` times in all, `pause_s` apart.
    `workspace`: a folder of the agent's for the names of folders that are too many for its memory; None: they are held in it.
    """

    path: Path
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    attempts: int = 3
    pause_s: float = 0.2
    workspace: Path | None = None

    def __post_init__(self) -> None:
        for pattern in (*self.include, *self.exclude):
            try:
                _compile(pattern)
            except re.error as err:
                raise SourceError(
                    Text(zh=f"模式 {pattern!r} 有误：{err}", en=f"the pattern {pattern!r} is wrong: {err}"),
                    hint=Text(zh="改正该模式", en="mend the pattern"),
                ) from err

    def exclusion_of(self, path: bytes) -> str | None:
        """Give the pattern that excludes `path`, or None."""
        return next((p for p in self.exclude if matches(p, path)), None)

    def includes(self, path: bytes) -> bool:
        """Tell whether a file or link is wanted, if it is not excluded."""
        return not self.include or any(matches(p, path) for p in self.include)


def matches(pattern: str, path: bytes) -> bool:
    """Tell whether `pattern` selects `path`."""
    text = path.decode("utf-8", "surrogateescape")
    if "/" not in pattern.rstrip("/"):
        text = text.rpartition("/")[2]
    return _compile(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    parts: list[str] = []
    rest = pattern.strip("/")
    while rest:
        if rest.startswith("**/"):
            part, rest = "(?:.*/)?", rest[3:]
        elif rest.startswith("**"):
            part, rest = ".*", rest[2:]
        elif rest[0] == "*":
            part, rest = "[^/]*", rest[1:]
        elif rest[0] == "?":
            part, rest = "[^/]", rest[1:]
        elif rest[0] == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            body, rest = rest[1:end].replace("\\", "\\\\"), rest[end + 1 :]
            part = f"[^/{body[1:]}]" if body[0] in "!^" else f"[{body}]"
        else:
            part, rest = re.escape(rest[0]), rest[1:]
        parts.append(part)
    return re.compile("".join(parts), re.DOTALL)
