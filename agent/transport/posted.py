# SPDX-License-Identifier: Apache-2.0
"""The center's answers as they came in files of receipts, in the form in which an interactive road gives them.

So what a run does with a receipt, a refusal or missing content is the same code on every road. What no file has
answered is on its way: that is CenterDownError, "later". Asked about objects, it takes all of them to be absent: they are
sent again, which is safe. A proof of consistency comes with the files, from any that was given.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType

from agent.errors import CenterDownError, CenterRefusedError
from agent.transport.base import SubmitAnswer
from evidence.bag.receipts import Receipts, Refusal, StatementAnswer
from evidence.digest import ObjectId, Sha256
from evidence.errors import EvidenceError
from evidence.manifest.entry import parse_entry, parse_stored
from evidence.manifest.receipt import Receipt
from evidence.manifest.statement import statement_digest
from evidence.note.signed import SignatureLine, parse_note
from evidence.wire.heartbeat import Heartbeat
from evidence.wire.secrets import SourceSecrets
from terminal.language import Text

_LATER = Text(
    zh="回执由网闸、SFTP 或载体带回；`jinsuo-agent send` 会读取",
    en="receipts come back by the gateway, SFTP or medium; `jinsuo-agent send` reads them",
)


class Posted:
    """Answers that came by post, for one source. A `Transport`. One thread."""

    def __init__(self, find_proof: Callable[[int, int], list[Sha256] | None]) -> None:
        """`find_proof` gives a proof of consistency between two sizes, if one has come with any file."""
        self._find_proof = find_proof
        self._receipts: dict[Sha256, Receipt] = {}
        self._statements: dict[Sha256, StatementAnswer] = {}
        self._latest: tuple[bytes, bytes] | None = None
        self._checkpoint: bytes | None = None
        self._size = 0

    def take(self, receipts: Receipts) -> None:
        """Answer from this file from now on."""
        self._receipts = {}
        for receipt in receipts.receipts:
            about = _find_subject(receipt)
            if about is not None:
                self._receipts[about] = receipt
        self._statements = {answer.digest: answer for answer in receipts.statements}
        if receipts.latest is not None and receipts.size >= self._size:
            self._size = receipts.size
            self._latest = receipts.latest[0], receipts.latest[1].encode()
        self._checkpoint = receipts.checkpoint

    def tell_latest(self, note: bytes, receipt: bytes) -> None:
        """Say which statement is the newest at the center, as an enrolment by files has it."""
        self._latest = note, receipt

    def answers(self, digest: Sha256) -> bool:
        """Tell whether the newest file has a receipt or a refusal of the statement with this digest."""
        answer = self._statements.get(digest)
        return digest in self._receipts or (answer is not None and answer.refusal is not None)

    def lacks(self, digest: Sha256) -> bool:
        """Tell whether the newest file says that content of the statement with this digest is missing at the center."""
        answer = self._statements.get(digest)
        return answer is not None and answer.refusal is None

    def __enter__(self) -> "Posted":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing."""

    def missing(self, source: str, ids: Iterable[ObjectId]) -> set[ObjectId]:  # noqa: ARG002 - see the protocol
        """Give all `ids`: an answer names what is missing next, not all that is missing below."""
        return set(ids)

    def put_pack(self, source: str, name: str, path: Path) -> None:  # noqa: ARG002 - see the protocol
        """Raises: CenterDownError: packs travel in bags."""
        raise _on_its_way(f"pack {name[:16]}… of {source}", f"{source} 的数据包 {name[:16]}…")

    def submit(self, source: str, note: bytes, register_only: bool = False) -> SubmitAnswer:  # noqa: ARG002 - see the protocol
        """Give what a file says of a statement. Raises: CenterRefusedError; CenterDownError: no file has answered it."""
        digest = statement_digest(parse_note(note).text)
        answer = self._statements.get(digest)
        if answer is not None and answer.refusal is not None:
            raise refused(answer.refusal)
        receipt = self._receipts.get(digest)
        if receipt is None:
            raise _on_its_way(f"the receipt of a statement of {source}", f"{source} 的声明的回执")
        return SubmitAnswer(receipt.encode(), () if answer is None else answer.missing)

    def latest(self, source: str) -> tuple[bytes, bytes] | None:  # noqa: ARG002 - one source
        """Give note and receipt of the newest statement at the center, as the newest file has it."""
        return self._latest

    def receipt(self, digest: Sha256) -> bytes:
        """Give the receipt of the statement with this digest. Raises: CenterDownError."""
        if digest not in self._receipts:
            raise _on_its_way("the receipt of a statement", "声明的回执")
        return self._receipts[digest].encode()

    def cosign(self, size: int, line: SignatureLine) -> None:
        """Do nothing: the next bag brings a cosignature on the newest checkpoint."""

    def checkpoint(self) -> bytes:
        """Give the newest checkpoint that came. Raises: CenterDownError."""
        if self._checkpoint is None:
            raise _on_its_way("the log's checkpoint", "日志的检查点")
        return self._checkpoint

    def tile(self, path: str) -> bytes:
        """Raises: CenterDownError: no tiles come by post."""
        raise _on_its_way(f"the tile {path}", f"日志块 {path}")

    def consistency(self, old_size: int, new_size: int) -> list[Sha256]:
        """Give a proof that came. Raises: CenterDownError: none did; the next file has one from what we show."""
        proof = self._find_proof(old_size, new_size)
        if proof is None:
            raise _on_its_way(
                f"a proof that the log of {new_size} entries continues that of {old_size}",
                f"日志由 {old_size} 条续到 {new_size} 条的证明",
            )
        return proof

    def deposit(self, source: str, secrets: SourceSecrets) -> None:
        """Do nothing: every bag brings the secrets of its source, sealed."""

    def recover(self, source: str) -> SourceSecrets | None:  # noqa: ARG002 - see the protocol
        """Give nothing: secrets come back with an enrolment, not by post."""
        return None

    def heartbeat(self, heartbeat: Heartbeat) -> datetime:  # noqa: ARG002 - see the protocol
        """Raises: CenterDownError: no heartbeats go by post; each bag is a sign of life."""
        raise _on_its_way("the answer to a heartbeat", "心跳的应答")


def refused(refusal: Refusal) -> CenterRefusedError:
    """Give the error for what the center refused."""
    return CenterRefusedError(
        Text(
            zh=f"中心拒绝（{refusal.code}：{refusal.message}）",
            en=f"the center refused: {refusal.message} ({refusal.code})",
        ),
        hint=refusal.hint,
        refusal=refusal.code,
    )


def _find_subject(receipt: Receipt) -> Sha256 | None:
    """Give the digest of the statement that a receipt is about; nothing of it is verified. None: of no statement."""
    try:
        entry = parse_entry(receipt.entry)
        text = parse_note(entry.note).text
        return parse_stored(text).statement if entry.kind == "stored" else statement_digest(text)
    except EvidenceError:
        return None


def _on_its_way(en: str, zh: str) -> CenterDownError:
    return CenterDownError(Text(zh=f"{zh} 尚未送到", en=f"{en} has not come yet"), hint=_LATER)
