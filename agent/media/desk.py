# SPDX-License-Identifier: Apache-2.0
"""The acts on offline media of one source: write what waits, write again what is lacking, and what is on its way.

The caller holds the source's run lock, and has taken the snapshot if one is wanted. Nothing here needs the line: the
source's secrets travel sealed in every bag. Packs stay in the spool until a receipt says that they have come.
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from agent.errors import MediumError, MediumUnknownError
from agent.identity import Identity
from agent.journal import Journal, JournalEntry
from agent.media.order import MediaOutcome, Order, SetState, SetStatus
from agent.media.sets import MediaSets, WrittenSet, states_of
from agent.media.texts import Custody
from agent.media.volume import Load, Sender
from agent.media.volumes import Item
from agent.media.whole import find_whole
from agent.media.write import Numbering, check_target, plan_set, write_set
from agent.settings.media import MediaSettings
from agent.snapshot.kept import manifest_path
from agent.spool import Spool, SpooledPack
from evidence.digest import Sha256, sha256
from evidence.errors import EvidenceError
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.manifest import parse_manifest
from evidence.manifest.statement import SnapshotStatement, parse_statement
from evidence.medium.missing import Missing
from evidence.note.cosign import cosign
from evidence.note.signed import parse_note
from evidence.objects.object import ObjectKind, name_object
from evidence.wire.secrets import Direction, SealedFor, SourceSecrets, seal_secrets
from terminal.language import Text

_SEALED_FRAME_BYTES = 28


@dataclass(frozen=True, slots=True)
class MediaDesk:
    """What media of a source are written with."""

    source: str
    sets: MediaSets
    spool: Spool
    journal: Journal
    settings: MediaSettings
    clock: Callable[[], datetime]

    # What is on its way (`agent.snapshot.onway.OnWay`)

    def holds(self) -> bool:
        """Tell whether media of the source are awaited; a writing of which no medium is done yet is not on its way."""
        return bool(self._awaited())

    def arrived(self) -> Sequence[str]:
        """Give the packs of the spool that came on media whose statements are all stored."""
        written = self.sets.of(self.source)
        if not written:
            return ()
        states = states_of(self.journal.all_of(self.source))
        come = {
            name for each in written if each.has_arrived(states) for volume in each.volumes for name in volume.packs
        }
        return [pack.name for pack in self.spool.unsent() if pack.name in come]

    def packs(self) -> Set[str]:
        """Give the packs on media that are awaited."""
        return {name for each in self._awaited() for volume in each.volumes for name in volume.packs}

    def statements(self) -> Set[Sha256]:
        """Give the statements whose content is on media that are awaited."""
        return {digest for each in self._awaited() for digest in each.statements}

    def _awaited(self) -> list[WrittenSet]:
        now, written = self.clock(), [each for each in self.sets.of(self.source) if each.done]
        states = states_of(self.journal.all_of(self.source)) if written else {}
        return [each for each in written if each.is_awaited(states, now)]

    def unfinished(self) -> WrittenSet | None:
        """Give the writing that was cut, if there is one that is still awaited."""
        states = states_of(self.journal.all_of(self.source))
        for written in self.sets.of(self.source):
            if not written.is_finished and written.is_awaited(states, self.clock()):
                return written
        return None

    def abandon(self, written: WrittenSet) -> None:
        """Await a writing no more: its packs travel by the line, or with the next writing."""
        self.sets.keep(replace(written, until=written.written))

    # Writing

    def find_whole(self, folder: Path) -> list[SpooledPack] | None:
        """Give the packs that hold every object of the newest snapshot, if they are here; `folder` is the agent's."""
        keys, entry = self.journal.keys(self.source), self._newest()
        if keys is None or entry is None:
            return None
        statement = parse_statement(parse_note(entry.note).text)
        assert isinstance(statement, SnapshotStatement)
        try:
            body = manifest_path(folder, self.source, entry.sequence).read_bytes()
            if sha256(body) != statement.manifest_sha256:
                return None
            manifest = parse_manifest(body)
        except (OSError, EvidenceError):
            return None
        packs = [*self.spool.acknowledged(), *self.spool.unsent()]
        top = name_object(keys.storage_key, ObjectKind.MANIFEST, body)
        scratch = folder / "reading" / f"{self.source}.whole"
        return find_whole(packs, keys.storage_key, top, manifest, scratch)

    def write(
        self, order: Order, identity: Identity, software: str, sealed: Callable[[int], None],
        whole: Sequence[SpooledPack] = (),
    ) -> MediaOutcome:  # fmt: skip
        """Write what waits in the spool, or go on with a writing that was cut.

        `whole`: packs that are written as well, with the newest snapshot, whatever the center holds.
        Raises: MediumError, SpoolError.
        """
        written = self.unfinished()
        resumed = written is not None
        if written is None:
            entries = self._waiting()
            newest = self._newest() if whole else None
            if newest is not None and all(entry.digest != newest.digest for entry in entries):
                entries.append(newest)
            if not entries:
                raise MediumError(
                    Text(zh=f"来源 {self.source} 没有待送的内容", en=f"nothing of source {self.source} waits"),
                    hint=Text(
                        zh="中心已有全部内容；不带 --waiting 会先取一次新快照",
                        en="the center has everything; without --waiting a new snapshot is taken first",
                    ),
                )
            packs = {pack.name: pack for pack in [*whole, *self.spool.unsent()]}
            written = self._plan(self._items(list(packs.values())), entries, order, identity.unit)
        return self._write(written, order, identity, software, sealed, resumed=resumed)

    def rewrite(
        self, missing: Sequence[Missing], order: Order, identity: Identity, software: str, sealed: Callable[[int], None]
    ) -> MediaOutcome:
        """Write again what is lacking of a writing. Raises: MediumError; MediumUnknownError: not written here, or gone."""
        names = self._lacking(missing)
        here = {pack.name: pack for pack in [*self.spool.acknowledged(), *self.spool.packs()]}
        gone = [name for name in names if name not in here]
        if gone:
            raise _gone(self.source, gone)
        written = self.sets.get(missing[0].set_id)
        entries = [entry for entry in self.journal.all_of(self.source) if entry.digest in written.statements]
        again = self._plan(self._items([here[name] for name in names]), entries, order, identity.unit)
        return self._write(again, order, identity, software, sealed, resumed=False)

    def statuses(self) -> list[SetStatus]:
        """Tell how each writing of the source stands."""
        entries = self.journal.all_of(self.source)
        states, sequences = states_of(entries), {entry.digest: entry.sequence for entry in entries}
        found = []
        for each in self.sets.of(self.source):
            if each.has_arrived(states):
                state = SetState.STORED
            elif not each.is_awaited(states, self.clock()):
                state = SetState.LATE
            else:
                state = SetState.AWAITED if each.is_finished else SetState.UNFINISHED
            found.append(
                SetStatus(
                    self.source, each.batch_name, each.set_id, len(each.volumes), each.copies,
                    sum(len(volume.packs) for volume in each.volumes),
                    tuple(sequences[digest] for digest in each.statements if digest in sequences),
                    each.written, each.until, state,
                )
            )  # fmt: skip
        return found

    def _plan(self, items: Sequence[Item], entries: Sequence[JournalEntry], order: Order, unit: str) -> WrittenSet:
        numbering = Numbering(unit, self.source, self.settings.kind, timedelta(seconds=self.settings.wait))
        return plan_set(self.sets, numbering, items, entries, order, self.clock())

    def _write(
        self, written: WrittenSet, order: Order, identity: Identity, software: str, sealed: Callable[[int], None],
        *, resumed: bool,
    ) -> MediaOutcome:  # fmt: skip
        entries = [entry for entry in self.journal.all_of(self.source) if entry.digest in written.statements]
        here = {pack.name: pack for pack in [*self.spool.acknowledged(), *self.spool.packs()]}
        todo = [name for volume in written.volumes if written.todo(volume) for name in volume.packs]
        gone = [name for name in todo if name not in here]
        if gone:
            self.abandon(written)
            raise _gone(self.source, gone)
        items = {item.name: item for item in self._items([here[name] for name in todo])}
        check_target(order, written, items, entries)
        load = Load(written, entries, lambda name: here[name].path, self._custody(identity))
        finished, media = write_set(self.sets, load, self._sender(identity, software), order, sealed)
        return MediaOutcome(
            self.source, finished.batch_name, len(finished.volumes), tuple(entry.sequence for entry in entries),
            tuple(media), finished.until, resumed, len(written.done),
        )  # fmt: skip

    def _lacking(self, missing: Sequence[Missing]) -> list[str]:
        """Give the packs that files of one writing name, in its order. Raises: MediumUnknownError."""
        if len({each.set_id for each in missing}) != 1:
            raise _other(Text(zh="各文件不属于同一批次", en="the files are about different sets"))
        written = self.sets.get(missing[0].set_id)
        names: list[str] = []
        for each in missing:
            volume = next((v for v in written.volumes if v.number == each.volume), None)
            if (each.unit, each.source) != (written.unit, written.source) or volume is None:
                raise _other(Text(zh=f"没有写过 {each.volume}", en=f"{each.volume} was not written here"))
            strange = set(each.packs) - set(volume.packs)
            if strange:
                raise _other(
                    Text(zh=f"{each.volume} 上没有 {min(strange)}", en=f"{min(strange)} was not on {each.volume}")
                )
            names += [name for name in volume.packs if not each.packs or name in each.packs]
        return list(dict.fromkeys(names))

    def _waiting(self) -> list[JournalEntry]:
        return self.journal.unfinished_of(self.source)

    def _newest(self) -> JournalEntry | None:
        kind = SnapshotStatement.kind
        return next((e for e in reversed(self.journal.all_of(self.source)) if e.kind == kind), None)

    def _items(self, packs: Sequence[SpooledPack]) -> list[Item]:
        """Give the packs with their size once they are sealed: so many bytes more for each frame."""
        return [Item(p.name, p.size + _SEALED_FRAME_BYTES * len(self.spool.object_ids(p))) for p in packs]

    def _sender(self, identity: Identity, software: str) -> Sender:
        address, keys = identity.address, self.journal.keys(self.source)
        assert keys is not None  # a statement that waits was made with them
        place = SealedFor(Direction.DEPOSIT, address.log.name, identity.unit, self.source)
        secrets = seal_secrets(SourceSecrets(keys.row_secret, keys.storage_key), place, address.sealing_key)
        seen = self.journal.checkpoint()
        checkpoint = None if seen is None else seen[1]
        line = None
        if checkpoint is not None:
            moment = int(self.clock().timestamp())
            line = cosign(parse_note(checkpoint).text, identity.cosigner, moment).encode().encode()
        signer: Ed25519Signer = identity.before or identity.statement  # the one that the center knows
        return Sender(
            address.log.name,
            address.sealing_key,
            secrets,
            signer,
            checkpoint,
            line,
            f"jinsuo-agent {software}",
            software,
        )

    def _custody(self, identity: Identity) -> Custody:
        texts = self.settings
        return Custody(
            identity.address.name, texts.medium, texts.keeper, texts.maker, texts.checker, texts.hardware,
            texts.software, texts.secrecy,
        )  # fmt: skip


def media_folder(folder: Path) -> Path:
    """Give where an agent in `folder` notes what it has written on media."""
    return folder / "media"


def _gone(source: str, names: Sequence[str]) -> MediumUnknownError:
    return MediumUnknownError(
        Text(
            zh=f"来源 {source} 的 {len(names)} 个数据包已不在发件箱，如 {names[0]}",
            en=f"{len(names)} packs of source {source} are in the spool no more, such as {names[0]}",
        ),
        hint=Text(
            zh=f"运行 `jinsuo-agent media write {source} --all --to …`：重新读取来源并写出全部内容",
            en=f"run `jinsuo-agent media write {source} --all --to …`: it reads the source anew and writes everything",
        ),
    )


def _other(what: Text) -> MediumUnknownError:
    return MediumUnknownError(
        what,
        hint=Text(
            zh="每次给出同一批次的 missing-….txt；`jinsuo-agent media list` 列出写过的批次",
            en="give files missing-….txt of one set at a time; `jinsuo-agent media list` tells what was written",
        ),
    )
