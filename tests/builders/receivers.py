# SPDX-License-Identifier: Apache-2.0
"""A center's receiver on loopback: real TLS, real granian, real ledger and registry; admission is the fake one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent.identity import Identity, enroll
from agent.transport.way import DIRECT, Way
from center.ledger.ledger import Ledger
from center.receive.api import Api, Limits, make_api
from center.receive.server import Receiver
from center.receive.tls import Announcements, TlsFiles, create_tls, read_spki_sha256
from center.registry.seal import MasterKey, SealingKey, create_sealing_key
from center.registry.signs import Signs
from center.registry.units import Units
from evidence.digest import Sha256
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.entry import Act, Level
from evidence.manifest.statement import Channel, Consistency, SnapshotStatement, key_name
from evidence.note.signed import sign_note
from evidence.wire.introduction import CenterInfo
from tests.fakes.admission import FakeAdmission
from tests.servers.ports import free_port

ORIGIN = "center.example/line"
LOG = Ed25519Signer.from_seed(ORIGIN, KeyType.ED25519, bytes(range(32)))
OPERATOR = Ed25519Signer.from_seed(f"{ORIGIN}/operator", KeyType.ED25519, bytes(range(1, 33)))
NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


@dataclass
class MovableClock:
    """A clock that stands until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Running:
    """A receiver that runs, and all its parts."""

    url: str
    folder: Path
    clock: MovableClock
    units: Units
    ledger: Ledger
    admission: FakeAdmission
    api: Api
    info: CenterInfo
    sealing_key: SealingKey
    receiver: Receiver
    thread: threading.Thread
    signs: Signs
    acts: list[tuple[str, Act]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def reopen(self) -> Api:
        """Give the same application anew, for another receiver (an application ends with its receiver)."""
        return make_api(
            self.info, self.admission, self.ledger, self.units, self.sealing_key, self.clock, None, self.signs
        )

    def enroll(self, folder: Path, unit: str = "X013", way: Way = DIRECT) -> Identity:
        """Add a unit and enrol an agent in `folder` as it."""
        identity, _ = enroll(folder, self.url, self.units.add(unit, f"单位 {unit}").encode(), way)
        return identity


def make_units(
    folder: Path,
    clock: Callable[[], datetime],
    record: Callable[[str, Act], object] = lambda _kind, _act: None,
    spki: bytes = bytes(32),
    master: MasterKey | None = None,
) -> Units:
    """Give a registry in `folder`."""
    return Units(folder, master or MasterKey(bytes(32)), clock, record, spki_sha256=spki, vkey=LOG.key.vkey)


@contextmanager
def run_receiver(
    folder: Path, port: int = 0, idle_timeout_s: float = 60.0, host: str = "127.0.0.1",
    admission: type[FakeAdmission] = FakeAdmission,
) -> Iterator[Running]:  # fmt: skip
    """Run a receiver in a thread; keys and ledger in `folder` are made, or opened if they are there."""
    clock = MovableClock()
    tls = TlsFiles.within(folder / "tls")
    if not tls.key.exists():
        create_tls(folder / "tls", host, NOW)
        Ledger.create(folder / "ledger", LOG)
    master = MasterKey(bytes(32))
    if (folder / "keys" / "sealing.key").exists():
        (folder / "keys" / "sealing.key").unlink()
    sealing = create_sealing_key(folder / "keys" / "sealing.key", master)
    acts: list[tuple[str, Act]] = []
    with Ledger(folder / "ledger", LOG, clock) as ledger:

        def record(kind: str, act: Act) -> None:
            ledger.append(kind, Level.NONE, sign_note(act.encode(), [OPERATOR]).encode())
            acts.append((kind, act))

        units = make_units(folder / "units", clock, record, read_spki_sha256(tls.certificate), master)
        info = CenterInfo(LOG.key, OPERATOR.key, sealing.public, "jinsuo test")
        admitted = admission(ledger, units)
        signs = Signs(folder / "signs.sqlite")
        announced = Announcements(folder / "tls")
        limits = Limits(idle_s=idle_timeout_s)
        api = make_api(info, admitted, ledger, units, sealing, clock, limits, signs, None, announced)
        receiver = Receiver(api, host, port or free_port(), tls)
        addresses: list[str] = []
        is_ready = threading.Event()

        def ready(address: str) -> None:
            addresses.append(address)
            is_ready.set()

        thread = threading.Thread(target=receiver.run, args=(ready,), name="receiver")
        thread.start()
        try:
            assert is_ready.wait(60), "the receiver did not start"
            yield Running(
                addresses[0], folder, clock, units, ledger, admitted, api, info, sealing, receiver, thread, signs, acts
            )
        finally:
            receiver.stop()
            thread.join(60)
            assert not thread.is_alive(), "the receiver did not stop"
            signs.close()


def statement_note(identity: Identity, source: str, sequence: int = 1, rows: int = 1) -> bytes:
    """Give a snapshot statement's note, signed by the agent; the fake admission does not look below it."""
    previous = None if sequence == 1 else Sha256(bytes(32))
    statement = SnapshotStatement(
        identity.unit, source, sequence, previous, NOW, NOW, Consistency.CONSISTENT, "-", Channel.ONLINE,
        1, rows, 10, Sha256(bytes(32)), Sha256(bytes(32)),
    )  # fmt: skip
    return sign_note(statement.encode(), [identity.statement.renamed(key_name(identity.unit, source))]).encode()
