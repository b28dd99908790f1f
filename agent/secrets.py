# SPDX-License-Identifier: Apache-2.0
"""Passwords of sources: in one file of the agent's folder that only its owner may read, or where the machine keeps them.

    secrets.json    {"his": "…"}; mode 0600, checked before every reading; replaced in one durable step
                    on Windows {"his": {"dpapi": "<base64>"}}: encrypted for this machine; a plain text is still read

`JINSUO_SECRET_HIS` in the environment goes before the file (`.` and `-` in a name become `_`, letters capitals).
Invariant: no password in an error, a log or a listing. Not encrypted on Linux: whoever reads the owner's files can
also read the owner's memory; what protects the source is the read-only account. On Windows the folder's ACL guards the
file, and its copies elsewhere are of no use.
"""

import json
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path

from agent.dpapi import Seal, machine_seal
from agent.errors import NotTheServiceError, SecretError
from agent.settings.names import is_name
from evidence.disk import write_over
from terminal.language import Text
from terminal.service.credential import FOLDER_VARIABLE, find_credential

SECRETS_NAME = "secrets.json"
MAX_SECRET_BYTES = 4096
Kept = str | dict[str, str]
_SEALED = "dpapi"
_MACHINE_SEAL = machine_seal()


class Secrets:
    """The secrets of one agent."""

    def __init__(self, folder: Path, environ: Mapping[str, str], seal: Seal | None = _MACHINE_SEAL) -> None:
        self._path = folder / SECRETS_NAME
        self._environ = environ
        self._seal = seal

    def set(self, name: str, value: str) -> None:
        """Keep `value` under `name`, durably, over what was there. Raises: SecretError, OSError."""
        self.check_name(name)
        if not value or len(value.encode()) > MAX_SECRET_BYTES or "\0" in value:
            raise SecretError(
                Text(zh=f"{name} 的内容为空、过长或含 NUL", en=f"the value of {name} is empty, too long or has a NUL"),
                hint=Text(zh="重新输入", en="enter it again"),
            )
        if not self._path.parent.is_dir():
            raise SecretError(
                Text(zh=f"没有目录 {self._path.parent}", en=f"there is no folder {self._path.parent}"),
                hint=Text(
                    zh="用 -C 指明目录，或先运行 init", en="name the right folder with -C, or make one with `init`"
                ),
            )
        kept = self._read() | {name: self._close(value)}
        old_mask = os.umask(0o077)
        try:
            write_over(self._path, json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True).encode())
        finally:
            os.umask(old_mask)

    def check_name(self, name: str) -> None:
        """Raises: SecretError unless `name` can name a secret."""
        if not is_name(name):
            raise SecretError(
                Text(zh=f"{name!r} 不能作为名称", en=f"{name!r} cannot name a secret"),
                hint=Text(zh="用 1 至 64 个字母、数字或 . _ -", en="use 1 to 64 letters, digits and . _ -"),
            )

    def names(self) -> list[str]:
        """Give the names kept in the file, in order; never the values. Raises: SecretError."""
        return sorted(self._read())

    def find(self, reference: str) -> str:
        """Give the password that `secret:NAME`, `credential:NAME`, `env:VARIABLE` or `file:PATH` stands for.

        Raises: SecretError, NotTheServiceError.
        """
        scheme, _, name = reference.partition(":")
        if scheme == "credential":
            return self._from_credential(name)
        if scheme == "env":
            return self._from_environment(name)
        if scheme == "file":
            return _from_file(Path(name))
        value = self._environ.get(variable_of(name)) or self._open(name, self._read().get(name))
        if value is None:
            raise SecretError(
                Text(zh=f"没有名为 {name} 的口令", en=f"there is no secret {name}"),
                hint=Text(
                    zh=f"运行 `jinsuo-agent secret set {name}`，或设环境变量 {variable_of(name)}",
                    en=f"run `jinsuo-agent secret set {name}`, or set {variable_of(name)} in the environment",
                ),
            )
        return value

    def _from_environment(self, variable: str) -> str:
        value = self._environ.get(variable)
        if not value:
            raise SecretError(
                Text(zh=f"环境变量 {variable} 没有设置", en=f"the environment has no {variable}"),
                hint=Text(zh="为本程序的账户或服务设置它", en="set it for the account or service that runs this"),
            )
        return value

    def _from_credential(self, name: str) -> str:
        if not self._environ.get(FOLDER_VARIABLE):
            raise NotTheServiceError(
                Text(
                    zh=f"服务凭据 {name} 只给 systemd 启动的服务",
                    en=f"the credential {name} is given to the service alone",
                ),
                hint=Text(
                    zh=f"`systemctl start jinsuo-agent` 后看 `jinsuo-agent status`；手工运行改用 secret:{name}",
                    en=f"start the service and look at `jinsuo-agent status`; for commands by hand use secret:{name}",
                ),
            )
        try:
            value = find_credential(self._environ, name)
        except (OSError, UnicodeDecodeError) as err:
            why = err.strerror if isinstance(err, OSError) else "not UTF-8"
            raise SecretError(
                Text(zh=f"读不了服务凭据 {name}：{why}", en=f"the service's credential {name} cannot be read: {why}"),
                hint=Text(zh="检查凭据文件", en="check the credential's file"),
            ) from err
        if not value:
            raise SecretError(
                Text(zh=f"没有服务凭据 {name}，或它是空的", en=f"there is no credential {name}, or it is empty"),
                hint=Text(
                    zh="重新运行 `jinsuo-agent service install`，并放好它所说的文件",
                    en="run `jinsuo-agent service install` again and put the file there that it names",
                ),
            )
        return value

    def _close(self, value: str) -> Kept:
        return value if self._seal is None else {_SEALED: b64encode(self._seal.close(value.encode())).decode()}

    def _open(self, name: str, kept: Kept | None) -> str | None:
        if kept is None or isinstance(kept, str):
            return kept
        if self._seal is None:
            raise _foreign(name)
        try:
            return self._seal.open(b64decode(kept[_SEALED], validate=True)).decode()
        except (OSError, ValueError) as err:
            raise _foreign(name) from err

    def _read(self) -> dict[str, Kept]:
        try:
            check_private(self._path)
            kept = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as err:
            raise self._damaged() from err
        if not isinstance(kept, dict) or not all(_is_kept(value) for value in kept.values()):
            raise self._damaged()
        return kept

    def _damaged(self) -> SecretError:
        return SecretError(
            Text(zh=f"{self._path} 已损坏", en=f"{self._path} is damaged"),
            hint=Text(
                zh="删去该文件，再用 `jinsuo-agent secret set` 重新存入口令",
                en="remove it and keep the passwords again with `jinsuo-agent secret set`",
            ),
        )


def _foreign(name: str) -> SecretError:
    return SecretError(
        Text(zh=f"口令 {name} 在本机解不开", en=f"the secret {name} cannot be decrypted on this machine"),
        hint=Text(
            zh=f"它是在另一台机器上存入的：用 `jinsuo-agent secret set {name}` 重新存入",
            en=f"it was kept on another machine: keep it again with `jinsuo-agent secret set {name}`",
        ),
    )


def _is_kept(value: object) -> bool:
    is_sealed = isinstance(value, dict) and set(value) == {_SEALED} and isinstance(value[_SEALED], str)
    return isinstance(value, str) or is_sealed


def variable_of(name: str) -> str:
    """Give the environment variable that goes before the secret `name`: `his-2` → `JINSUO_SECRET_HIS_2`."""
    return "JINSUO_SECRET_" + re.sub(r"[.-]", "_", name).upper()


def check_private(path: Path) -> None:
    """Raises: SecretError if others than the owner may read or write the file; FileNotFoundError."""
    if os.name == "nt":  # pragma: no cover - ACLs are inherited from the folder
        return
    state = path.stat()
    if state.st_mode & 0o077 or state.st_uid not in (os.geteuid(), 0):
        raise SecretError(
            Text(
                zh=f"{path} 的权限是 {state.st_mode & 0o777:04o}，其他账户也能读写",
                en=f"{path} has mode {state.st_mode & 0o777:04o}, so other accounts can use it",
            ),
            hint=Text(
                zh=f"运行 `chmod 600 {path}`，并更换其中的口令",
                en=f"run `chmod 600 {path}` and change the passwords in it",
            ),
        )


def _from_file(path: Path) -> str:
    try:
        check_private(path)
        value = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        why = err.strerror if isinstance(err, OSError) else "not UTF-8"
        raise SecretError(
            Text(zh=f"读不了口令文件 {path}：{why}", en=f"the password file {path} cannot be read: {why}"),
            hint=Text(zh="检查路径和权限", en="check the path, and that this account may read it"),
        ) from err
    if not value:
        raise SecretError(
            Text(zh=f"口令文件 {path} 是空的", en=f"the password file {path} is empty"),
            hint=Text(zh="写入口令", en="write the password into it"),
        )
    return value
