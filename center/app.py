# SPDX-License-Identifier: Apache-2.0
"""The center's wiring: one folder, opened; the only place that names concrete classes.

center.yaml    settings                 units/       units, keys, wrapped secrets
keys/          log, operator, sealing   store/       packs, put-if-absent
tls/           certificate and key      ledger/      checkpoint, tiles, ledger.sqlite
catalog.sqlite an index; `rebuild` makes it anew
signs.sqlite   signs of life of the units; alerts.sqlite what was told of what is amiss: no evidence, made anew if lost
serving.lock   locked by the daemon as long as it lives; empty
inboxes/       what was last answered to bags
media/         offline media: what was read, copies in work
locks/         by which processes take turns; empty files
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from contextlib import closing as closing_of
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Final

from center.alerts.channels import make_sender
from center.alerts.figures import FigureReader
from center.alerts.look import Center as Looked
from center.alerts.look import Looker, measure_disk
from center.alerts.memory import MEMORY_NAME, Memory
from center.alerts.metrics import open_metrics
from center.alerts.post import Post
from center.alerts.watch import Watch
from center.config import CONFIG_NAME, DEFAULT_LISTEN, CenterConfig, load_config, parse_listen, write_config
from center.errors import ConflictError, FullError, NotFoundError, RefusedError, ServedError, StoreError
from center.ledger.ledger import Ledger
from center.ledger.sequence import Sealed
from center.media.reading import MediaReader
from center.media.sets import SetMemory
from center.receive.admit import Admission
from center.receive.answers import Answers
from center.receive.api import Limits, make_api
from center.receive.bags import BagIntake
from center.receive.counters import Counters
from center.receive.inbox import Box, Inbox
from center.receive.server import Receiver
from center.receive.tls import (
    Announcements,
    TlsFiles,
    announce_key,
    create_tls,
    read_spki_sha256,
    renew_tls,
    take_next,
)
from center.registry.catalog import Catalog
from center.registry.lock import FolderLock
from center.registry.objects import SourceObjects, pack_path
from center.registry.packs import forget_absent
from center.registry.replay import Replay
from center.registry.seal import SealingKey, create_master_key, create_sealing_key, open_master_key, open_sealing_key
from center.registry.signs import SIGNS_NAME, Signs
from center.registry.snapshots import Snapshot
from center.registry.units import Unit, Units
from center.store.base import Store
from center.store.folder import FolderStore
from center.store.reserve import ReservedStore
from evidence.disk import make_private_folder, write_new
from evidence.errors import EvidenceError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer, create_key_file, open_signer
from evidence.manifest.entry import Act, Level
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.note.signed import parse_note, sign_note
from evidence.wire.announcement import TlsAnnouncement
from evidence.wire.enrolment import pin_of_vkey
from evidence.wire.introduction import CenterInfo
from evidence.wire.offline import EnrolledFile, KnownSource, parse_request
from evidence.wire.secrets import Direction, SealedFor, seal_secrets
from terminal.language import Text, choose_language
from terminal.loopback import parse_loopback
from terminal.pages import PageServer

log = logging.getLogger(__name__)
CATALOG_NAME = "catalog.sqlite"
SERVING_NAME = "serving.lock"
INBOXES_NAME = "inboxes"
MEDIA_NAME = "media"
_LOOKED_AT: Final = 16


def utc_now() -> datetime:
    """Give the center's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Center:
    """A center, opened. Use as a context manager."""

    folder: Path
    config: CenterConfig
    clock: Callable[[], datetime]
    store: Store
    ledger: Ledger
    units: Units
    catalog: Catalog
    replay: Replay
    admission: Admission
    operator: Ed25519Signer
    log_signer: Ed25519Signer
    sealing: SealingKey
    signs: Signs
    counters: Counters
    _closing: ExitStack
    _serving: list[bool]

    @staticmethod
    def create(
        folder: Path,
        origin: str,
        listen: str = DEFAULT_LISTEN,
        clock: Callable[[], datetime] = utc_now,
        passphrase: bytes | None = None,
    ) -> None:
        """Make a new center in `folder`: keys, certificate, settings, empty store, ledger and catalog.

        Raises: ConflictError if there is something in the folder. The settings are written last: a center whose making
        was cut off cannot be opened, and is made anew after the folder has been removed.
        """
        if folder.exists() and any(folder.iterdir()):
            raise ConflictError(
                Text(zh=f"目录 {folder} 不是空的", en=f"the folder {folder} is not empty"),
                hint=Text(
                    zh="换一个新目录；绝不会在旧中心之上新建",
                    en="name a new folder; nothing is ever made over an old center",
                ),
            )
        # The store has what hospitals sent, the catalog keys of rows.
        make_private_folder(folder)
        keys = folder / "keys"
        keys.mkdir(mode=0o700)
        for name in ("log.pem", "operator.pem"):
            create_key_file(keys / name)
        create_sealing_key(keys / "sealing.key", create_master_key(keys / "master.key", passphrase))
        create_tls(folder / "tls", parse_listen(listen)[0], clock())
        for name in ("units", "store"):
            (folder / name).mkdir()
        Ledger.create(folder / "ledger", open_signer(f"file:{keys / 'log.pem'}", origin, KeyType.ED25519))
        Catalog.create(folder / CATALOG_NAME).close()
        Signs(folder / SIGNS_NAME).close()
        Memory(folder / MEMORY_NAME).close()
        write_new(folder / CONFIG_NAME, write_config(origin, listen).encode())

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime] = utc_now, passphrase: bytes | None = None) -> "Center":
        """Open the center in `folder`. Raises: CenterError; the hint says what to do."""
        if not (folder / CONFIG_NAME).exists():
            raise NotFoundError(
                Text(zh=f"{folder} 中没有中心", en=f"there is no center in {folder}"),
                hint=Text(
                    zh="用 -C 目录或 JINSUO_CENTER_DIR 指明，或用 `jinsuo-center init DIR --origin NAME` 新建",
                    en="name its folder with -C DIR or JINSUO_CENTER_DIR, or make one with `jinsuo-center init DIR"
                    " --origin NAME`",
                ),
            )
        config = load_config(folder / CONFIG_NAME)
        with ExitStack() as closing:
            packs = config.find_store(folder)
            store = ReservedStore(FolderStore(packs), packs, config.disk_reserve)
            keys = folder / "keys"
            log_signer = open_signer(f"file:{keys / 'log.pem'}", config.origin, KeyType.ED25519)
            operator = open_signer(f"file:{keys / 'operator.pem'}", f"{config.origin}/operator", KeyType.ED25519)
            ledger = closing.enter_context(Ledger(folder / "ledger", log_signer, clock))

            def record(kind: str, act: Act) -> Sealed:
                return ledger.append(kind, Level.NONE, sign_note(act.encode(), [operator]).encode())

            master = open_master_key(keys / "master.key", passphrase)
            units = Units(
                folder / "units", master, clock, record,
                spki_sha256=read_spki_sha256(TlsFiles.within(folder / "tls").certificate), vkey=log_signer.key.vkey,
                most_sources=config.limits.sources_per_unit,
            )  # fmt: skip
            # A ledger restored from an old copy cannot know that it is old; an agent that has seen more can.
            ledger.require_confirmation(
                {unit.unit: unit.last_checkpoint_size or 0 for unit in units.list() if not unit.disabled}
            )
            catalog = closing.enter_context(Catalog(folder / CATALOG_NAME))
            replay = Replay(catalog, ledger, store, units)
            replay.catch_up()
            return cls(
                folder=folder,
                config=config,
                clock=clock,
                store=store,
                ledger=ledger,
                units=units,
                catalog=catalog,
                replay=replay,
                admission=Admission(
                    store,
                    ledger,
                    catalog,
                    units,
                    replay,
                    operator,
                    clock,
                    config.limits.repeated_bytes,
                    folder / "locks",
                ),
                operator=operator,
                log_signer=log_signer,
                sealing=open_sealing_key(keys / "sealing.key", master),
                signs=closing.enter_context(closing_of(_open_signs(folder / SIGNS_NAME))),
                counters=Counters(),
                _closing=closing.pop_all(),
                _serving=[],
            )

    def close(self) -> None:
        """Close ledger and catalog."""
        self._closing.close()

    def __enter__(self) -> "Center":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, kind: str, act: Act) -> Sealed:
        """Log an act of the center's own, signed by the operator's key."""
        return self.ledger.append(kind, Level.NONE, sign_note(act.encode(), [self.operator]).encode())

    def confirm(self, by: str, reason: str) -> None:
        """Sign by an operator's word that the ledger is no old copy, where no agent is left to say so; it is logged.

        Raises: HeldError if a hold stands, or a unit has acknowledged more: then it is known to be an old copy, or forked.
        """
        act = Act("confirmation", "ledger", "signs by the operator's word", by, reason)
        self.ledger.confirm()
        self.record("decision", act)

    def release(self, by: str, reason: str) -> bool:
        """Let signing go on after a hold; it is logged. False: nothing was held.

        Raises: HeldError if entries are still lacking, or there are two histories.
        """
        act = Act("release", "ledger", "signs again", by, reason)
        if not self.ledger.release(reason):
            return False
        self.record("decision", act)
        return True

    def receiver(self) -> Receiver:
        """Give the receiver of this center, ready to run: the only one on this machine until the center is closed.

        It alone takes packs in, so what is half taken is of a crash, and is removed.

        Raises: ServedError if another daemon serves this center; AddressError, StoreError.
        """
        self._serve_alone()
        tls = self.folder / "tls"
        taken = take_next(tls, self.ledger.log_key, self.clock())
        if taken is not None:
            self.units.use_tls(taken.spki)
            log.info("the announced TLS key is in use", extra={"spki_sha256": taken.spki.hex()})
        info = CenterInfo(self.ledger.log_key, self.operator.key, self.sealing.public, f"jinsuo {version('jinsuo')}")
        bounds = self.config.limits
        limits = Limits(total_s=bounds.request_timeout, pack_bytes=bounds.pack_bytes)
        api = make_api(
            info, self.admission, self.ledger, self.units, self.sealing, self.clock, limits, self.signs, self.counters,
            Announcements(tls),
        )  # fmt: skip
        host, port = self.config.address
        return Receiver(api, host, port, TlsFiles.within(tls), bounds.connections)

    def inbox(self) -> Inbox:
        """Give the drop boxes of this center; whoever looks at them holds what the daemon holds.

        Raises: ServedError if another daemon serves this center: it looks at them itself.
        """
        self._serve_alone()
        intake = self._bag_intake()
        answers = Answers(self.folder / INBOXES_NAME, self.ledger, self.operator, self.clock)
        boxes = [Box.of(settings, self.folder) for settings in self.config.inboxes.boxes]
        return Inbox(boxes, intake, answers, self.clock)

    def _bag_intake(self) -> BagIntake:
        return BagIntake(
            self.admission, self.ledger, self.catalog, self.units, self.sealing, self.clock(),
            lambda unit, made: self.signs.see_made(unit, made, self.clock()),
        )  # fmt: skip

    def media_reader(self) -> MediaReader:
        """Give what reads offline media; it may work beside the daemon, whose confirmation covers it. Raises: StoreError."""
        self._check_store()
        intake = self._bag_intake()
        answers = Answers(self.folder / INBOXES_NAME, self.ledger, self.operator, self.clock)
        folder = self.folder / MEDIA_NAME
        memory = SetMemory(folder / "sets", self.catalog)
        return MediaReader(folder, intake, answers, memory, self.config.disk_reserve)

    def _serve_alone(self) -> None:
        """Be the only one on this machine to take packs in. Raises: ServedError."""
        if self._serving:
            return
        if not self._closing.enter_context(FolderLock(self.folder / SERVING_NAME).try_hold()):
            raise ServedError(
                Text(
                    zh=f"{self.folder} 的中心已由另一个服务进程提供服务",
                    en=f"another daemon serves the center in {self.folder}",
                ),
                hint=Text(
                    zh="一个 `jinsuo-center serve` 足以服务所有采集端：先停下另一个，或不必再启动；其他命令可同时运行",
                    en="one `jinsuo-center serve` is enough for any number of agents: stop the other one first, or leave"
                    " this one; all other commands run beside it",
                ),
            )
        self._check_store()
        FolderStore(self.config.find_store(self.folder)).remove_leftovers()
        self._serving.append(True)

    def _check_store(self) -> None:
        """See that the store is the one of the catalog: of what the catalog knows, nothing is read again for a statement.

        If the packs that came last are not there, as where it was restored from a copy a little older, they are forgotten,
        so that the agents are asked. If none of them is, what comes might be hidden as soon as the right volume is mounted.
        Raises: StoreError then.
        """
        newest = self.catalog.newest_packs(_LOOKED_AT)
        lost = list(takewhile(lambda pack: self.store.size(pack_path(*pack)) is None, newest))
        if newest and lost == newest:
            packs = self.config.find_store(self.folder)
            raise StoreError(
                Text(
                    zh=f"存储 {packs} 中没有最近收到的 {len(newest)} 个数据包：其卷可能没有挂载，或是旧副本",
                    en=f"the store {packs} has none of the {len(newest)} packs that came last: its volume may not be"
                    " mounted, or it is an older copy",
                ),
                hint=Text(
                    zh="挂载该卷（或改正 center.yaml 的 folders.store）；若确为旧副本，运行 `jinsuo-center rebuild`，采集端会补送尚有的内容",
                    en="mount it, or correct folders.store in center.yaml; if it is an older copy, run `jinsuo-center rebuild`:"
                    " what is lacking is asked for then, and audit tells what no agent has any more",
                ),
            )
        for unit, source, pack in lost:
            count = forget_absent(self.catalog, unit, source, pack)
            log.error("a stored pack is lost", extra={"unit": unit, "source": source, "pack": pack, "objects": count})

    def enroll_by_file(self, raw: bytes) -> tuple[Unit, bytes]:
        """Enrol the agent that made a request in a file; give its unit, and the answer's file.

        The same request again gives such an answer again. Raises: RefusedError, ForbiddenError, ConflictError, HeldError.
        """
        try:
            request = parse_request(raw)
        except EvidenceError as err:
            raise RefusedError(
                Text(zh=f"这不是登记申请：{err}", en=f"this is no request for enrolment: {err}"),
                hint=Text(
                    zh="用 `jinsuo-agent enroll --request FILE` 生成",
                    en="make it with `jinsuo-agent enroll --request FILE`",
                ),
            ) from err
        if request.vkey_pin != pin_of_vkey(self.ledger.log_key.vkey):
            raise RefusedError(
                Text(zh="该申请是给另一个中心的", en="the request is for another center"),
                hint=Text(zh="带到出具登记码的那个中心", en="bring it to the one that gave the code"),
            )
        code = self.units.find_code(request.fits)
        unit = self.units.enroll_by(code, request.statement_key, request.cosigner_key)
        answer = EnrolledFile(
            f"https://{self.config.listen}", read_spki_sha256(TlsFiles.within(self.folder / "tls").certificate),
            self.ledger.log_key, self.operator.key, self.sealing.public, unit.unit, unit.name,
            tuple(self._known_source(unit.unit, source, request.recovery_key) for source in unit.sources),
        )  # fmt: skip
        return unit, answer.encode(request, code)

    def _known_source(self, unit: str, source: str, recovery: bytes) -> KnownSource:
        place = SealedFor(Direction.RECOVER, self.config.origin, unit, source)
        sealed = seal_secrets(self.units.secrets(unit, source), place, recovery)
        return KnownSource(source, sealed, self.admission.latest(unit, source))

    def watch(self, environ: Mapping[str, str]) -> Watch:
        """Give the watch of this center; channels find their secrets in `environ`. Raises: StoreError, FullError."""
        memory = self._open_memory()
        senders = [make_sender(channel, self.folder, environ) for channel in self.config.alerts.channels]
        language = self.config.language or choose_language(None)
        post = Post(memory, senders, self.config.origin, language, self.folder)
        return Watch(self._looker(), memory, post, self.clock)

    def metrics(self) -> PageServer | None:
        """Give the server of metrics, ready to run; None if settings name no address. Raises: MetricsAddressError."""
        if self.config.metrics.listen is None:
            return None
        channels = [channel.name for channel in self.config.alerts.channels]
        reader = FigureReader(self._looker(), self._open_memory(), self.counters, channels, self.clock)
        return open_metrics(*parse_loopback(self.config.metrics.listen), reader.read)

    def _open_memory(self) -> Memory:
        return self._closing.enter_context(closing_of(Memory(self.folder / MEMORY_NAME)))

    def _looker(self) -> Looker:
        looked = Looked(
            self.folder, self.config.find_store(self.folder), self.config.disk_reserve, self.units, self.catalog,
            self.ledger, self.store, self.signs, self.replay.catch_up, measure_disk,
        )  # fmt: skip
        return Looker(looked, self.config.alerts)

    def renew_tls(self) -> None:
        """Make a new certificate for the TLS key in use; the daemon takes it at its next start. Agents do not notice."""
        renew_tls(self.folder / "tls", self.config.address[0], self.clock())

    def announce_tls(self, from_: datetime, by: str) -> TlsAnnouncement:
        """Make and announce a new TLS key, used by the first start of the daemon after `from_`; it is logged.

        Raises: ConflictError if one is announced already; HeldError.
        """

        def record(announcement: TlsAnnouncement) -> None:
            change = f"{announcement.replaces.hex()} -> {announcement.spki.hex()}"
            self.record("key", Act("tls key change", self.config.origin, "announced", by, change))

        return announce_key(
            self.folder / "tls", self.config.address[0], self.clock(), from_, self.log_signer, record
        )  # fmt: skip

    def objects(self, unit: str, source: str) -> SourceObjects:
        """Give a reader of a source's objects. Raises: NotFoundError."""
        secrets = self.units.secrets(unit, source)
        return SourceObjects(self.store, self.catalog, unit, source, secrets.storage_key)

    def open_snapshot(self, unit: str, source: str, sequence: int | None = None) -> Snapshot:
        """Open a stored snapshot; `sequence` None: the latest. Raises: NotFoundError, StoreError."""
        self.replay.catch_up()
        row = self.catalog.statement(unit, source, sequence)
        statement = parse_statement(parse_note(row.note).text)
        if not isinstance(statement, SnapshotStatement):
            raise NotFoundError(
                Text(
                    zh=f"{unit} 的 {source}#{row.sequence} 是 {statement.kind} 声明，不是快照",
                    en=f"{source}#{row.sequence} of {unit} is a {statement.kind} statement, not a snapshot",
                ),
                hint=Text(
                    zh=f"`jinsuo-center snapshots {unit} {source}` 列出各快照",
                    en=f"`jinsuo-center snapshots {unit} {source}` lists the snapshots",
                ),
            )
        return Snapshot(statement, row, self.objects(unit, source), self.units.secrets(unit, source))


def _open_signs(path: Path) -> Signs:
    """Open the signs of life; if that fails, keep them in memory: they hold nothing of the evidence up."""
    try:
        return Signs(path)
    except (FullError, StoreError) as err:
        log.warning("signs of life are kept in memory", extra={"code": err.code, "why": str(err)})
        return Signs()
