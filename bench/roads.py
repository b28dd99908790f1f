# SPDX-License-Identifier: Apache-2.0
"""How fast each road carries packs, as a ratio to what everybody has: curl for HTTPS, the ssh command for SSH.

The same files, the same machine, one run: peers and roads take turns, each figure is the median of its rounds. What receives
over HTTPS is the real receiver (TLS, tokens, every pack's name re-hashed) in a process of its own, which then drops the
bytes, so that lines are compared and not disks. Roads through SSH end at it too, while `ssh cat` ends nowhere. By SFTP both
write the same files into the same folder.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko

from agent.identity import Identity, enroll
from agent.settings.hostkey import parse_host_key
from agent.transport.sftpbox import SftpBox
from agent.transport.ssh import SshWay
from agent.transport.way import DIRECT, Way
from bench._world import machine, table
from center.receive.admit import PackAnswer
from evidence.digest import PackNamer, pack_name
from evidence.keys.signer import Signer
from evidence.wire.enrolment import parse_code
from evidence.wire.introduction import parse_nonce_answer
from evidence.wire.paths import PATH_NONCE, path_of_pack
from evidence.wire.token import Request, Token, encode_authorization
from tests.builders.receivers import ORIGIN, run_receiver
from tests.builders.roads import admit, ssh_settings, ssh_way
from tests.contract.transports import SECRETS
from tests.fakes.admission import FakeAdmission
from tests.servers.ports import free_port
from tests.servers.sshd import SshServer

PACK_BYTES: Final = 4 << 20
"""What the spool cuts packs to."""
CIPHER: Final = "aes256-gcm@openssh.com"


@dataclass(frozen=True)
class Bench:
    """What is carried, by whom, to where."""

    folder: Path
    packs: Sequence[Path]
    identity: Identity
    server: SshServer
    port: int

    @property
    def mib(self) -> float:
        """Give how much is carried."""
        return sum(path.stat().st_size for path in self.packs) / (1 << 20)


@dataclass(frozen=True)
class Road:
    """A road and its peer; each carries all packs once when it is called."""

    name: str
    peer: str
    ours: Callable[[], None]
    theirs: Callable[[], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="script/bench roads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="MiB of packs")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the median counts")
    parser.add_argument("--sink", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink is not None:
        serve_sink(options.sink)
        return
    print(f"machine: {machine()}", flush=True)
    with ExitStack() as closing:
        root = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="jinsuo-bench-")))
        server = SshServer.create()
        closing.callback(server.remove)
        port, code = closing.enter_context(start_sink(root / "sink"))
        identity, _ = enroll(root / "agent", f"https://127.0.0.1:{port}", code)
        with identity.connect(lambda: None) as transport:
            transport.deposit("his", SECRETS)
        (root / "packs").mkdir()
        packs = [make_pack(root / "packs") for _ in range(options.size * (1 << 20) // PACK_BYTES)]
        bench = Bench(root, packs, identity, server, port)
        rows = [measure_road(road, bench, options.rounds) for road in roads(bench, closing)]
        title = f"{bench.mib:.0f} MiB in packs of {PACK_BYTES >> 20} MiB, {options.rounds} rounds"
    table(title, ("road", "MiB/s", "our CPU s", "peer", "peer MiB/s", "ratio"), rows)


def roads(bench: Bench, closing: ExitStack) -> Iterator[Road]:
    """Give every road that is measured."""
    yield Road("https", "curl PUT", lambda: put_all(bench, DIRECT), lambda: curl_all(bench, bench.port))
    key = bench.folder / "ssh.key"
    admit(bench.server, key, f"127.0.0.1:{bench.port}")
    way = ssh_way(ssh_settings(bench.server, key, forward=f"127.0.0.1:{bench.port}"), bench.folder)
    ssh = command_line(bench)
    yield Road("ssh", "ssh cat > /dev/null", lambda: put_all(bench, way), lambda: pipe_all(bench, ssh))
    tunnel = closing.enter_context(open_tunnel(bench, ssh))
    yield Road("ssh", "curl PUT through ssh -L", lambda: put_all(bench, way), lambda: curl_all(bench, tunnel))
    yield Road("sftp", "sftp put", lambda: drop_all(bench, ssh), lambda: sftp_all(bench, ssh))


def measure_road(road: Road, bench: Bench, rounds: int) -> tuple[object, ...]:
    """Let a road and its peer take turns; give the row."""
    ours: list[float] = []
    theirs: list[float] = []
    cpu: list[float] = []
    for _ in range(rounds):
        theirs.append(seconds_of(road.theirs))
        before = time.process_time()
        ours.append(seconds_of(road.ours))
        cpu.append(time.process_time() - before)
    own, peer = (bench.mib / statistics.median(taken) for taken in (ours, theirs))
    return road.name, f"{own:.0f}", statistics.median(cpu), road.peer, f"{peer:.0f}", own / peer


def seconds_of(act: Callable[[], None]) -> float:
    """Give how long an act takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def put_all(bench: Bench, way: Way) -> None:
    """Carry all packs over a road, one after another, as a sender does."""
    with bench.identity.connect(lambda: None, way=way) as transport:
        for path in bench.packs:
            transport.put_pack("his", path.name, path)


def curl_all(bench: Bench, port: int) -> None:
    """Carry all packs by one curl over one connection; the tokens are made before."""
    words = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--http1.1", "--output", "/dev/null"]
    for at, path in enumerate(bench.packs):
        if at:
            words += ["--next", "--silent", "--show-error", "--fail", "--insecure", "--output", "/dev/null"]
        target = path_of_pack("his", path.name)
        header = authorize(bench, Request("PUT", target, path.stat().st_size, bytes.fromhex(path.name)))
        words += [
            "-H",
            "Expect:",
            "-H",
            f"Authorization: {header}",
            "-T",
            str(path),
            f"https://127.0.0.1:{port}{target}",
        ]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def drop_all(bench: Bench, ssh: Sequence[str]) -> None:
    """Put all packs into a drop box, as files of one bag."""
    with SftpBox(person_way(bench, ssh), str(bench.folder), str(bench.folder)) as box:
        box.put("ours", bench.packs[0].parent)
    shutil.rmtree(bench.folder / "ours")


def person_way(bench: Bench, ssh: Sequence[str]) -> SshWay:
    """Give the way of whoever uses the ssh command."""
    key = paramiko.Ed25519Key.from_private_key_file(ssh[ssh.index("-i") + 1])
    server = bench.server
    return SshWay(server.host, server.port, server.user, parse_host_key(server.host_key), lambda: key)


def sftp_all(bench: Bench, ssh: Sequence[str]) -> None:
    """Put all packs by one sftp command."""
    words = [*ssh[1:-1], ssh[-1]]
    words[words.index("-p")] = "-P"
    target = bench.folder / "theirs"
    target.mkdir()
    batch = "".join(f"put {path} {target / path.name}\n" for path in bench.packs)
    subprocess.run(["sftp", "-q", "-b", "-", *words], check=True, input=batch, text=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(target)


def authorize(bench: Bench, request: Request) -> str:
    """Give the header that lets a request in."""
    signer: Signer = bench.identity.statement
    with bench.identity.connect(lambda: None) as transport:
        nonce = parse_nonce_answer(transport._client.get_public(PATH_NONCE)).nonce
    return encode_authorization(Token(ORIGIN, bench.identity.unit, request, nonce), signer)


def command_line(bench: Bench) -> list[str]:
    """Give an ssh command with a key that may do anything, as a person has."""
    key = bench.folder / "person"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with bench.server.keys.open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    known = bench.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{bench.server.port} {bench.server.host_key}\n")
    return [
        "ssh", "-F", "none", "-i", str(key), "-p", str(bench.server.port), "-c", CIPHER, "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={known}", "-o", "LogLevel=ERROR", f"{bench.server.user}@127.0.0.1",
    ]  # fmt: skip


def pipe_all(bench: Bench, ssh: Sequence[str]) -> None:
    """Carry all packs into a `cat` at the other end."""
    with subprocess.Popen(["cat", *map(str, bench.packs)], stdout=subprocess.PIPE) as source:
        subprocess.run([*ssh, "cat > /dev/null"], check=True, stdin=source.stdout)


@contextmanager
def open_tunnel(bench: Bench, ssh: Sequence[str]) -> Iterator[int]:
    """Open a port of this machine that leads through ssh to the receiver."""
    port = free_port()
    options = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:{bench.port}"]
    with subprocess.Popen([*ssh[:-1], *options, ssh[-1]]) as process:
        try:
            while process.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def make_pack(folder: Path) -> Path:
    """Make a pack of bytes that nothing shrinks."""
    data = os.urandom(PACK_BYTES)
    path = folder / pack_name([data])
    path.write_bytes(data)
    return path


class DroppingAdmission(FakeAdmission):
    """Re-hashes each pack's name, and drops its bytes."""

    def put_pack(self, unit: str, source: str, name: str, parts: Iterable[bytes]) -> PackAnswer:
        """Take a pack."""
        self._units.secrets(unit, source)
        namer = PackNamer()
        for part in parts:
            namer.update(part)
        if namer.name() != name:
            raise RuntimeError(f"pack {name} gives the name {namer.name()}")
        return PackAnswer(True, 1)


def serve_sink(folder: Path) -> None:
    """Run the receiver until stdin ends; print its port and an enrolment code."""
    with run_receiver(folder, admission=DroppingAdmission) as running:
        print(running.port, running.units.add("X013", "bench").encode(), flush=True)
        sys.stdin.read()


@contextmanager
def start_sink(folder: Path) -> Iterator[tuple[int, str]]:
    """Start the receiver in a process of its own; give its port and an enrolment code."""
    command = [sys.executable, __file__, "--sink", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        port, code = process.stdout.readline().split()
        parse_code(code)
        try:
            yield int(port), code
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main()
