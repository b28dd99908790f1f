# SPDX-License-Identifier: Apache-2.0
"""Roads for tests: settings that lead over a server or proxy, and keys that the center's own line lets in."""

from pathlib import Path

from agent.secrets import Secrets
from agent.settings.road import ProxySettings, RoadSettings, SshSettings
from agent.transport.roads import make_way
from agent.transport.sshkey import load_private, make_key, public_line
from agent.transport.way import Way
from center.registry.sshkeys import AuthorizedKeys, parse_public_key
from tests.servers.sshd import SshServer


def admit(server: SshServer, key: Path, target: str, unit: str = "X013") -> None:
    """Make the key in `key` if need be, and let it through the server to `target`, by the line that the center writes."""
    make_key(key)
    public = parse_public_key(public_line(load_private(key), "test"))
    AuthorizedKeys(server.keys, lambda _kind, _act: None).add(unit, public, target, by="test")


def ssh_settings(server: SshServer, key: Path, *, port: int | None = None, forward: str | None = None) -> SshSettings:
    """Give settings that lead to the server, or to `port` on its host, which leads there."""
    return SshSettings(
        host=server.host, port=port or server.port, user=server.user, host_key=server.host_key, key=key, forward=forward
    )


def ssh_way(settings: SshSettings, folder: Path, proxy: ProxySettings | None = None) -> Way:
    """Give the way of an agent in `folder` through an SSH server."""
    return make_way(RoadSettings(kind="ssh", ssh=settings, proxy=proxy), Secrets(folder, {}))


def proxy_way(port: int, folder: Path, host: str = "127.0.0.1") -> Way:
    """Give the way of an agent in `folder` through a proxy."""
    settings = ProxySettings(url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    return make_way(RoadSettings(proxy=settings), Secrets(folder, {}))
