# SPDX-License-Identifier: Apache-2.0
"""`road:` in agent.yaml: which way this agent's bytes take to the center. Pure.

Which center that is stands beside the keys (`center.json`), not here: a road may change, the center does not.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from agent.settings.hostkey import parse_host_key
from agent.settings.reference import SecretReference
from terminal.language import Text
from terminal.settings import Seconds, Settings, SizeBytes, mistake

_ADDRESS: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]?", re.ASCII)


def _check_host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise mistake(Text(zh="主机名或地址", en="a host's name or address"))
    return text.strip("[]")


def _check_user(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", text):
        raise mistake(Text(zh="SSH 服务器上的账户", en="an account of the SSH server"))
    return text


def _check_host_key(text: str) -> str:
    try:
        parse_host_key(text)
    except ValueError as err:
        raise mistake(
            Text(
                zh="SHA256:… 指纹（ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub），或 known_hosts 的一行",
                en="a fingerprint SHA256:… (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), or a line of known_hosts",
            )
        ) from err
    return text


def parse_address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; an IPv6 address stands in brackets. Raises: ValueError.

    >>> parse_address("[::1]:8443")
    ('::1', 8443)
    """
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= 65535:
        raise ValueError(text)
    return match["host"].strip("[]"), int(match["port"])


def _check_address(text: str) -> str:
    try:
        parse_address(text)
    except ValueError as err:
        raise mistake(
            Text(
                zh="主机:端口，如 127.0.0.1:8443（IPv6 加方括号）",
                en="host:port, such as 127.0.0.1:8443 (IPv6 addresses in brackets)",
            )
        ) from err
    return text


def _check_proxy(text: str) -> str:
    expected = Text(
        zh="HTTP 代理的地址，如 http://proxy.example:3128；账户写在 user，口令写在 password",
        en="the address of an HTTP proxy, such as http://proxy.example:3128; its account stands in `user` and `password`",
    )
    try:
        parts = urlsplit(text)
        is_one = parts.scheme == "http" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_one, parts = False, urlsplit("")
    if not is_one or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise mistake(expected, hidden="@" in text)
    return text


class ProxySettings(Settings):
    """A proxy that lets bytes through by CONNECT. It sees where to, and how much, never what."""

    url: Annotated[str, AfterValidator(_check_proxy)]
    user: Annotated[str, Field(min_length=1, pattern=r"^[^:\x00-\x1f]+$")] | None = None
    password: SecretReference | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Give its host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    @model_validator(mode="after")
    def _check_account(self) -> Self:
        if self.password is not None and self.user is None:
            raise mistake(Text(zh="password 需要 user", en="`user`, beside `password`"))
        return self


class SshSettings(Settings):
    """The center's SSH server, and where its machine reaches the center. None: 127.0.0.1 and the port of the center's URL."""

    host: Annotated[str, AfterValidator(_check_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Annotated[str, AfterValidator(_check_user)]
    host_key: Annotated[str, AfterValidator(_check_host_key)]
    key: Path = Path("keys/ssh.key")
    forward: Annotated[str, AfterValidator(_check_address)] | None = None
    keepalive: Annotated[Seconds, Field(ge=5, le=3600)] = 30


def _check_folder(text: str) -> str:
    if not text.isprintable() or any(part in (".", "..") for part in text.split("/")):
        raise mistake(Text(zh="SFTP 服务器上的目录", en="a folder of the SFTP server"))
    return text


RemoteFolder = Annotated[str, Field(min_length=1), AfterValidator(_check_folder)]


class FolderSettings(Settings):
    """Two folders that a gateway moves files between here and the center: bags out, receipts in."""

    outbox: Path
    inbox: Path


class SftpSettings(Settings):
    """Two folders of an SFTP server from which the center takes bags, and where it leaves receipts."""

    host: Annotated[str, AfterValidator(_check_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Annotated[str, AfterValidator(_check_user)]
    host_key: Annotated[str, AfterValidator(_check_host_key)]
    key: Path = Path("keys/ssh.key")
    outbox: RemoteFolder
    inbox: RemoteFolder


class BagSettings(Settings):
    """How bags are made for roads that carry files. `size`: packs are split over bags of about so much.

    `resend_after`: what was not answered for so long is made into new bags.
    """

    size: Annotated[SizeBytes, Field(ge=1 << 20)] = 512 << 20
    resend_after: Annotated[Seconds, Field(ge=3600)] = 7 * 86400


class RoadSettings(Settings):
    """Which way this agent's bytes take."""

    kind: Literal["https", "ssh", "folder", "sftp"] = "https"
    proxy: ProxySettings | None = None
    ssh: SshSettings | None = None
    folder: FolderSettings | None = None
    sftp: SftpSettings | None = None
    bags: BagSettings = BagSettings()

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind != "https" and getattr(self, self.kind) is None:
            raise mistake(Text(zh=f"kind: {self.kind} 需要 {self.kind}", en=f"`{self.kind}`, for `kind: {self.kind}`"))
        return self

    @property
    def carries_files(self) -> bool:
        """Tell whether nobody answers at the other end: bags go out, and receipts come back some time."""
        return self.kind in ("folder", "sftp")

    def within(self, base: Path) -> Self:
        """Give the same with every relative path taken from `base`."""
        update: dict[str, Settings] = {}
        if self.ssh is not None:
            update["ssh"] = self.ssh.model_copy(update={"key": base / self.ssh.key})
        if self.sftp is not None:
            update["sftp"] = self.sftp.model_copy(update={"key": base / self.sftp.key})
        if self.folder is not None:
            paths = {"outbox": base / self.folder.outbox, "inbox": base / self.folder.inbox}
            update["folder"] = self.folder.model_copy(update=paths)
        return self.model_copy(update=update)
