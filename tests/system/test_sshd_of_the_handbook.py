# SPDX-License-Identifier: Apache-2.0
"""The handbook's words about the road by SSH, followed to the letter: its block of sshd_config, its commands, its settings.

`jinsuo-agent ssh-key`, `jinsuo-center ssh-key add`, `enroll`, `check`, `snapshot`, all as commands; the keys come by
`AuthorizedKeysCommand` from the center's own folder, which is how the handbook has it.
"""

import json
import re
import socket
import textwrap
from pathlib import Path

import paramiko
import pytest

from center.app import Center
from center.cli.main import make_program
from evidence.manifest.statement import Channel
from tests.builders.world import World, agent_process, make_hospital, sqlite_source
from tests.servers.sshd import SshServer

HANDBOOK = (Path(__file__).parents[2] / "docs" / "operate.md").read_text(encoding="utf-8")
UNIT = "X013"


def _block(begin: str) -> str:
    """Give the block of the handbook that begins with this line."""
    match = re.search(rf"```\n( *{re.escape(begin)}\n.*?)```", HANDBOOK, re.S)
    assert match is not None
    return textwrap.dedent(match[1])


def _handbook_server(center: Path, port: int) -> SshServer:
    """Give a server with the handbook's block, with this account and these places in it."""
    server = SshServer.create()
    server.stop()
    block = _block("Match User jinsuo-line")
    for told, here in (
        ("jinsuo-line", server.user),
        ("AuthorizedKeysCommandUser jinsuo-center", f"AuthorizedKeysCommandUser {server.user}"),
        ("/var/lib/jinsuo-center", str(center)),
        ("127.0.0.1:8443", f"127.0.0.1:{port}"),
    ):
        assert told in block
        block = block.replace(told, here)
    server.more = [block]
    server.start()
    return server


def _agent(folder: Path, *words: str) -> str:
    process = agent_process(folder, *words)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def test_the_handbook_s_way_by_ssh_leads_to_a_receipt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_hospital(tmp_path / "his.db", 200)
    with World.make(tmp_path) as world, world.serving() as center:
        port = world.line.target
        center.units.add(UNIT, "市第一医院")
        server = _handbook_server(world.center_folder, port)
        try:
            folder = world.agent_folder(UNIT)
            folder.mkdir()
            settings = _block("road:\n  kind: ssh").replace("archives.example", f"127.0.0.1, port: {server.port}")
            settings = re.sub(r'"SHA256:[^"]+"', f'"{server.fingerprint}"', settings).replace(
                "jinsuo-line", server.user
            )
            source = sqlite_source("his", tmp_path / "his.db")
            (folder / "agent.yaml").write_text(f"spool: {{min_free: 0 MiB}}\n{settings}sources:\n{source}")

            line = _agent(folder, "ssh-key")
            assert line == _agent(folder, "ssh-key")
            (tmp_path / "X013.pub").write_text(line)
            for change in ("added", "unchanged"):
                told = _center(
                    capsys,
                    world,
                    "ssh-key",
                    "add",
                    UNIT,
                    "--key",
                    str(tmp_path / "X013.pub"),
                    "--to",
                    f"127.0.0.1:{port}",
                )
                assert (told["change"], told["to"]) == (change, f"127.0.0.1:{port}")
            assert _center(capsys, world, "ssh-key", "list")["keys"] == [
                {"unit": UNIT, "fingerprint": told["fingerprint"], "to": f"127.0.0.1:{port}", "altered": False}
            ]

            code = center.units.rekey(UNIT).encode()
            _agent(folder, "enroll", "--center", f"https://archives.example:{port}", "--code", code)
            assert "FAIL" not in _agent_check(folder)
            assert "stored" in _agent(folder, "snapshot", "his")
            assert center.open_snapshot(UNIT, "his").statement.channel is Channel.SSH
            _try_what_the_block_forbids(server, folder / "keys" / "ssh.key", center)

            assert _center(capsys, world, "ssh-key", "remove", UNIT)["removed"] is True
            process = agent_process(folder, "check")
            printed, _ = process.communicate(timeout=60)
            assert b"does not take this agent's key" in printed
        finally:
            server.remove()


def _agent_check(folder: Path) -> str:
    process = agent_process(folder, "check")
    printed, _ = process.communicate(timeout=60)
    return printed.decode()


def _center(capsys: pytest.CaptureFixture[str], world: World, *words: str) -> dict[str, object]:
    capsys.readouterr()
    assert make_program().main(["-C", str(world.center_folder), "--json", *words], environ={}) == 0
    told: dict[str, object] = json.loads(capsys.readouterr().out)
    return told


def _try_what_the_block_forbids(server: SshServer, key: Path, center: Center) -> None:
    """The block holds by itself: a line without any restriction opens no more."""
    keys = center.folder / "ssh" / "authorized_keys"
    restricted = keys.read_text()
    keys.write_text(" ".join(restricted.split()[1:]) + "\n")
    try:
        with socket.create_connection((server.host, server.port), 60) as line:
            session = paramiko.Transport(line)
            session.start_client(timeout=60)
            session.auth_publickey(server.user, paramiko.Ed25519Key.from_private_key_file(str(key)))
            channel = session.open_session(timeout=60)
            channel.exec_command("true")
            assert channel.recv_exit_status() == 1
            with pytest.raises(paramiko.SSHException):
                session.request_port_forward("127.0.0.1", 0)
            with pytest.raises(paramiko.ChannelException):
                session.open_channel("direct-tcpip", ("127.0.0.1", server.port), ("127.0.0.1", 0), timeout=60)
            session.close()
    finally:
        keys.write_text(restricted)
