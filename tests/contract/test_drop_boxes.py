# SPDX-License-Identifier: Apache-2.0
"""The roads that carry files: two folders, and a real SFTP server; each passes the whole suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.transport.sshkey import load_private, make_key, public_line
from tests.builders.drops import Drop
from tests.builders.world import make_hospital
from tests.contract.drop_boxes import DropBoxContract, Opened, make_large
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


class _Fixtures(DropBoxContract):
    @pytest.fixture
    def box(self, tmp_path: Path) -> Drop:
        raise NotImplementedError

    @pytest.fixture
    def center(self, box: Drop) -> Iterator[Opened]:
        box.make_center()
        with box.center() as opened:
            yield opened

    @pytest.fixture
    def drop(self, box: Drop, center: Opened) -> Drop:
        box.enroll(center[0], make_hospital(box.folder / "his.db", 200))
        return box

    @pytest.fixture
    def large(self, box: Drop, center: Opened) -> Drop:
        box.enroll(center[0], make_large(box.folder))
        return box


class TestFolder(_Fixtures):
    @pytest.fixture
    def box(self, tmp_path: Path) -> Drop:
        return Drop.in_folders(tmp_path)


class TestSftp(_Fixtures):
    @pytest.fixture
    def box(self, tmp_path: Path, ssh_server: SshServer) -> Drop:
        return make_sftp_drop(tmp_path, ssh_server)
