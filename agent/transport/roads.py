# SPDX-License-Identifier: Apache-2.0
"""From the settings of the road to the way that bytes take. Opens nothing: a way is opened with its first request.

Only interactive roads are here, those with somebody at the other end who answers at once. Roads that carry files one way
and bring receipts another are driven differently.
"""

from pathlib import Path

from agent.errors import RoadError
from agent.secrets import Secrets
from agent.settings.road import ProxySettings, RoadSettings, SshSettings, parse_address
from agent.transport.proxy import Proxy, ProxyWay
from agent.transport.way import DIRECT, Way
from terminal.language import Text


def make_way(settings: RoadSettings, secrets: Secrets) -> Way:
    """Give the way of these settings. Raises: RoadError, SecretError."""
    way = DIRECT if settings.proxy is None else ProxyWay(_proxy(settings.proxy, secrets))
    if settings.kind == "ssh":
        assert settings.ssh is not None
        return _ssh_way(settings.ssh, way)
    return way


def _proxy(settings: ProxySettings, secrets: Secrets) -> Proxy:
    password = None if settings.password is None else secrets.find(settings.password)
    return Proxy(*settings.address, settings.user, password)


def _ssh_way(settings: SshSettings, over: Way) -> Way:
    try:
        # Not at the top: only agents with this road need the library.
        import paramiko

        from agent.transport.hostkey import parse_host_key
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

    return SshWay(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        host_key=parse_host_key(settings.host_key),
        load_key=load_key,
        forward=None if settings.forward is None else parse_address(settings.forward),
        keepalive_s=settings.keepalive,
        over=over,
    )


def key_path(settings: RoadSettings, folder: Path) -> Path:
    """Give where this agent's SSH key lies: as the settings say, or where they would say by default."""
    if settings.ssh is not None:
        return settings.ssh.key
    default: Path = SshSettings.model_fields["key"].default
    return folder / default
