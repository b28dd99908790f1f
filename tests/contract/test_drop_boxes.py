# SPDX-License-Identifier: Apache-2.0
"""The roads that carry files: two folders, and a real SFTP server; each passes the whole suite."""

from pathlib import Path

import pytest

from agent.transport.sshkey import load_private, make_key, public_line
from tests.builders.drops import Drop
from tests.contract.drop_boxes import DropBoxContract
from tests.servers.sshd import SshServer


def make_sftp_drop(folder: Path, server: SshServer, port: int | None = None) -> Drop:
    """Make a drop box on an SFTP server, by a key that may do nothing but SFTP there."""
    outbox, inbox = folder / "srv" / "outbox", folder / "srv" / "inbox"
    for each in (outbox, inbox):
        each.mkdir(parents=True)
    key = folder / "sftp.key"
    make_key(key)
    with server.keys.open("a") as keys:
        keys.write(f'restrict,command="internal-sftp" {public_line(load_private(key), "test")}\n')
    road = (
        f"{{kind: sftp, sftp: {{host: {server.host}, port: {port or server.port}, user: {server.user}, host_key: "
        f'"{server.host_key}", key: {key}, outbox: {outbox}, inbox: {inbox}}}}}'
    )
    return Drop(folder, road, outbox, inbox)


class TestFolder(DropBoxContract):
    pass


class TestSftp(DropBoxContract):
    @pytest.fixture
    def drop_box(self, tmp_path: Path, ssh_server: SshServer) -> Drop:
        box = make_sftp_drop(tmp_path, ssh_server)
        box.make_center()
        return box
