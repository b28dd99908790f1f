# SPDX-License-Identifier: Apache-2.0
"""From the settings of the road to the way that bytes take. Opens nothing: a way is opened with its first request.

Interactive roads, those with somebody at the other end who answers at once, are ways; those that carry files one way and
bring receipts another are drop boxes, and are driven differently (`agent.snapshot.posting`).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import RoadError
from agent.secrets import Secrets
from agent.settings.hostkey import parse_host_key
from agent.settings.road import ProxySettings, RoadSettings, SftpSettings, SshSettings, parse_address
from agent.transport.base import DropBox
from agent.transport.folderbox import FolderBox
from agent.transport.proxy import Proxy, ProxyWay
from agent.transport.way import DIRECT, Way
from terminal.language import Text

if TYPE_CHECKING:
    from agent.transport.ssh import SshWay


def make_way(settings: RoadSettings, secrets: Secrets) -> Way:
    """Give the way of these settings; passwords and keys are looked up when it is opened.

    Raises: RoadError if a library is not installed.
    """
    way = DIRECT if settings.proxy is None else ProxyWay(_proxy(settings.proxy, secrets))
    if settings.kind == "ssh":
        assert settings.ssh is not None
        return _ssh_way(settings.ssh, way)
    return way


def make_box(settings: RoadSettings, secrets: Secrets) -> DropBox:
    """Give the drop box of these settings, which carry files. Raises: RoadError, SecretError."""
    if settings.kind == "folder":
        assert settings.folder is not None
        return FolderBox(settings.folder.outbox, settings.folder.inbox)
    assert settings.sftp is not None
    over = DIRECT if settings.proxy is None else ProxyWay(_proxy(settings.proxy, secrets))
    way = _ssh_way(settings.sftp, over)
    from agent.transport.sftpbox import SftpBox

    return SftpBox(way, settings.sftp.outbox, settings.sftp.inbox)


def _proxy(settings: ProxySettings, secrets: Secrets) -> Proxy:
    reference = settings.password
    return Proxy(*settings.address, settings.user, None if reference is None else lambda: secrets.find(reference))


def _ssh_way(settings: SshSettings | SftpSettings, over: Way) -> "SshWay":
    try:
        # Not at the top: only agents with this road need the library.
        import paramiko

        from agent.transport.ssh import SshWay
    except ModuleNotFoundError as err:
        raise RoadError(
            Text(
                zh=f"SSH 线路需要的库没有安装：{err.name}",
                en=f"a library of the road by SSH is not installed: {err.name}",
            ),
            hint=Text(zh="运行：pip install 'jinsuo[agent,ssh]'", en="run: pip install 'jinsuo[agent,ssh]'"),
        ) from err

    def load_key() -> paramiko.PKey:
        from agent.transport.sshkey import load_private

        load_private(settings.key)
        return paramiko.Ed25519Key.from_private_key_file(str(settings.key))

    forward = settings.forward if isinstance(settings, SshSettings) else None
    return SshWay(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        host_key=parse_host_key(settings.host_key),
        load_key=load_key,
        forward=None if forward is None else parse_address(forward),
        keepalive_s=settings.keepalive if isinstance(settings, SshSettings) else 30,
        over=over,
    )


def key_path(settings: RoadSettings, folder: Path) -> Path:
    """Give where this agent's SSH key lies: as the settings say, or where they would say by default."""
    if settings.ssh is not None:
        return settings.ssh.key
    if settings.sftp is not None:
        return settings.sftp.key
    default: Path = SshSettings.model_fields["key"].default
    return folder / default
