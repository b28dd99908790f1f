# SPDX-License-Identifier: Apache-2.0
"""Secrets of channels: where a reference leads, `env:VARIABLE` or `file:PATH`. They are never logged, and kept by nobody.

A file that others than its owner and group can read is refused: a password in it is everybody's.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from center.errors import CenterError
from terminal.errors import EXIT_USAGE
from terminal.language import Text

MOST_BYTES: Final = 4096


class SecretError(CenterError):
    """A channel's secret is not there, or others can read it."""

    code = "JS-3220"
    exit_code = EXIT_USAGE


def read_secret(reference: str, folder: Path, environ: Mapping[str, str]) -> str:
    """Give the secret that `reference` names; a relative path is taken from `folder`. Raises: SecretError."""
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        value = environ.get(name, "")
        if not value:
            raise SecretError(
                Text(zh=f"环境变量 {name} 没有设置", en=f"the environment has no {name}"),
                hint=Text(
                    zh="在服务的环境中设置它，或改用 file:路径",
                    en="set it in the environment of the service, or use file:PATH",
                ),
            )
        return value
    path = folder / name
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(MOST_BYTES + 1)
    except OSError as err:
        raise SecretError(
            Text(zh=f"读不了口令文件 {path}：{err.strerror}", en=f"the file of a secret {path} cannot be read: {err.strerror}"),
            hint=Text(zh="检查路径和权限", en="check its path and its rights"),
        ) from err  # fmt: skip
    if os.name != "nt" and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SecretError(
            Text(zh=f"口令文件 {path} 其他人可读", en=f"others can read the file of a secret {path}"),
            hint=Text(zh=f"chmod 600 {path}", en=f"chmod 600 {path}"),
        )
    try:
        text = raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > MOST_BYTES or "\n" in text:
        raise SecretError(
            Text(
                zh=f"口令文件 {path} 应为一行 UTF-8 文字", en=f"the file of a secret {path} must be one line of UTF-8"
            ),
            hint=Text(zh="把口令写成一行", en="write the secret as one line"),
        )
    return text
