# SPDX-License-Identifier: Apache-2.0
"""Whether a snapshot's manifest will fit into one object: told before the source is read, not after hours of it.

A manifest names every table twice, in about 700 bytes, and those left out with the reason; it is one object of less than
4 MiB. From the list of tables an upper estimate is made: the very bytes of a manifest whose figures have more digits
than any table has, and a margin for what is known only after reading (DDL's parts, tables lost, notes). Pure. Source: docs/format.md, objects.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from agent.collectors.base import Omission
from agent.errors import SourceError
from evidence.digest import ObjectId, Sha256
from evidence.manifest.claim import Claim
from evidence.manifest.manifest import SCHEMA_PREFIX, Document, Manifest, ManifestTable, Omitted, Parameters
from evidence.manifest.statement import Consistency
from evidence.objects.object import MAX_OBJECT_BYTES
from evidence.tree.nodes import MAX_FANOUT
from terminal.language import Text

MARGIN_BYTES: Final = 256 << 10
"""For what is not known before reading: some 2,000 notes or omissions of a line each."""

_LEFT_OUT: Final = "not among those that the settings include"
_DIGEST: Final = Sha256(b"\xff" * 32)
_OBJECT: Final = ObjectId(b"\xff" * 32)
_MOST: Final = 999_999_999_999_999
_MOMENT: Final = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)


def check_manifest_fits(source: str, tables: Sequence[str], omitted: Sequence[Omission]) -> None:
    """Raises: SourceError if a manifest over tables of these names might not fit; it says how to split the source."""
    size = estimate_manifest(tables, omitted)
    if size + MARGIN_BYTES >= MAX_OBJECT_BYTES:
        raise too_large(source, tables, omitted, size)


def too_large(source: str, tables: Sequence[str], omitted: Sequence[Omission], size: int) -> SourceError:
    """Give the error for a source whose manifest has `size` bytes."""
    share = _find_share(tables, omitted)
    split = Text(
        zh=f"在 agent.yaml 中拆成至少 {-(-len(tables) // share):,} 个来源：名称各异，用 include、exclude 各取一部分表"
        f"（每个约 {share:,} 个以内）；拆分后不再属于同一时刻的快照",
        en=f"split it in agent.yaml into at least {-(-len(tables) // share):,} sources, each with a name of its own and,"
        f" by include and exclude, its share of the tables (up to about {share:,}); they are then no longer snapshots of"
        " one moment",
    )
    rights = Text(
        zh="拆分也无济于事，因为未取的表也列在清单中：为每部分表各建一个只能看到它们的只读账户",
        en="splitting by include and exclude does not help, for tables left out are listed too: make read-only accounts"
        " that see a part of the tables each",
    )
    return SourceError(
        Text(
            zh=f"来源 {source} 有 {len(tables):,} 个表，另有 {len(omitted):,} 个不取；清单将达 {size:,} 字节，"
            f"须小于 {MAX_OBJECT_BYTES:,} 字节",
            en=f"source {source} has {len(tables):,} tables, and {len(omitted):,} that are left out: its manifest would"
            f" have up to {size:,} bytes, and must have less than {MAX_OBJECT_BYTES:,}",
        ),
        hint=split if share < len(tables) else rights,
    )


def estimate_manifest(tables: Sequence[str], omitted: Sequence[Omission] = ()) -> int:
    """Give the bytes that a manifest over tables of these names has at most, without documents but their schemas."""
    names = _ascending(tables)
    reasons = {omission.name: omission.reason for omission in omitted}
    return len(
        Manifest(
            unit="-" * 64,
            source="-" * 64,
            sequence=_MOST,
            consistency=Consistency.CONSISTENT,
            position="-" * 256,
            parameters=Parameters(),
            tables=tuple(
                ManifestTable(
                    Claim(name, _DIGEST, _DIGEST, 9, MAX_FANOUT, _MOST, _MOST), _DIGEST, _OBJECT, (_MOMENT, _MOMENT),
                )
                for name in names
            ),
            omitted=tuple(Omitted(name, reasons[name]) for name in _ascending(reasons)),
            documents=tuple(Document(SCHEMA_PREFIX + name, _DIGEST, _OBJECT) for name in names),
            blobs=_OBJECT,
            notes=(),
            agent="-" * 64,
        ).encode()
    )  # fmt: skip


def _find_share(tables: Sequence[str], omitted: Sequence[Omission]) -> int:
    """Give how many of these tables a source may have that leaves the others out; all: that is no way out."""
    empty, sample = estimate_manifest(()), tables[:200]
    read = (estimate_manifest(sample) - empty) / len(sample)
    left = (estimate_manifest((), [Omission(name, _LEFT_OUT) for name in sample]) - empty) / len(sample)
    room = MAX_OBJECT_BYTES - MARGIN_BYTES - estimate_manifest((), omitted) - len(tables) * left
    share = int(room / (read - left))
    return share if share > 0 else len(tables)


def _ascending(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: name.encode("utf-8", "surrogatepass"))
