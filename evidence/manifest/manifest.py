# SPDX-License-Identifier: Apache-2.0
"""The manifest: what a snapshot holds, where its objects are, and how it was read. Pure.

    object of kind 5, JCS {"agent","blobs","consistency","documents":[{"name","object","sha256"}],"format","notes",
      "omitted":[{"name","reason"}],"parameters":{"fanout","max","min","target"},"position","sequence","source",
      "tables":[{"carried_from","claim","read_at":[began,ended],"schema","top"}],"unit"}

The statement names it by SHA-256 over this body. Tables, omitted tables and documents ascend by the UTF-8 bytes of
their names, each name once. A table's schema object is the document `schema/<table name>`. Source: formats.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from evidence.digest import ObjectId, Sha256
from evidence.encode import (
    Json,
    encode_json,
    encode_time,
    expect_integer,
    expect_list,
    expect_text,
    parse_hex,
    parse_json,
    parse_members,
    parse_time,
)
from evidence.errors import FormatError, UnsupportedError
from evidence.manifest.claim import MAX_TABLES, Claim, read_claim
from evidence.manifest.grammar import check_line_value, check_source_name, check_unit_name
from evidence.manifest.statement import Consistency
from evidence.tree.cut import NODE_MAX, PAGE_MAX, PAGE_MIN, PAGE_TARGET

FORMAT: Final = "jinsuo/manifest@v1"
SCHEMA_PREFIX: Final = "schema/"
MAX_DOCUMENTS: Final = 2 * MAX_TABLES
MAX_NOTES: Final = 65_536
_MEMBERS = {
    "agent", "blobs", "consistency", "documents", "format", "notes", "omitted", "parameters", "position", "sequence",
    "source", "tables", "unit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of the cuts: page sizes in bytes and the largest fan-out of a node. This version knows one set."""

    min: int = PAGE_MIN
    target: int = PAGE_TARGET
    max: int = PAGE_MAX
    fanout: int = NODE_MAX

    def __post_init__(self) -> None:
        if (self.min, self.target, self.max, self.fanout) != (PAGE_MIN, PAGE_TARGET, PAGE_MAX, NODE_MAX):
            raise UnsupportedError(f"the trees are cut with {self}, which this version does not know; update Jinsuo")


@dataclass(frozen=True, slots=True)
class ManifestTable:
    """A table: its claim, its top object (None: empty), when it was read, and the sequence it was carried over from."""

    claim: Claim
    schema: Sha256
    top: ObjectId | None
    read_at: tuple[datetime, datetime]
    carried_from: int | None = None

    def __post_init__(self) -> None:
        name = self.claim.name
        if self.schema != self.claim.schema:
            raise FormatError(
                f"table {name!r:.80} names the schema {self.schema.hex()}, its claim {self.claim.schema.hex()}"
            )
        if (self.top is None) != (self.claim.rows == 0):
            raise FormatError(
                f"table {name!r:.80} has {self.claim.rows} rows and {'no' if self.top is None else 'a'} top object"
            )
        if self.read_at[1] < self.read_at[0]:
            raise FormatError(f"the reading of table {name!r:.80} ends before it begins: {self.read_at}")


@dataclass(frozen=True, slots=True)
class Omitted:
    """A table that the snapshot does not hold, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Document:
    """An object of kind 6 that goes with the snapshot: DDL, a schema. `sha256` is over its body."""

    name: str
    sha256: Sha256
    object: ObjectId


@dataclass(frozen=True, slots=True)
class Manifest:
    """A snapshot as a list of tables. `blobs` is the top object of `@blobs`, None where there is none."""

    unit: str
    source: str
    sequence: int
    consistency: Consistency
    position: str
    parameters: Parameters
    tables: tuple[ManifestTable, ...]
    omitted: tuple[Omitted, ...]
    documents: tuple[Document, ...]
    blobs: ObjectId | None
    notes: tuple[str, ...]
    agent: str

    def __post_init__(self) -> None:
        check_unit_name(self.unit)
        check_source_name(self.source)
        check_line_value(self.position, "the position")
        if self.sequence < 1:
            raise FormatError(f"sequences start at 1, found {self.sequence}")
        _check_ascending("tables", (t.claim.name for t in self.tables))
        _check_ascending("omitted tables", (o.name for o in self.omitted))
        _check_ascending("documents", (d.name for d in self.documents))
        by_name = {document.name: document.sha256 for document in self.documents}
        for table in self.tables:
            if by_name.get(SCHEMA_PREFIX + table.claim.name) != table.schema:
                raise FormatError(f"no document is the schema {table.schema.hex()} of table {table.claim.name!r:.80}")
            if table.carried_from is not None and not 1 <= table.carried_from < self.sequence:
                raise FormatError(
                    f"table {table.claim.name!r:.80} of snapshot {self.sequence} is carried over from"
                    f" {table.carried_from}, which is no earlier one"
                )

    def table(self, name: str) -> ManifestTable | None:
        """Find the table `name`."""
        return next((table for table in self.tables if table.claim.name == name), None)

    def document(self, name: str) -> Document | None:
        """Find the document `name`."""
        return next((document for document in self.documents if document.name == name), None)

    def schema_document(self, table: str) -> Document:
        """Give the document that is the schema of `table`. Raises: FormatError if the snapshot has no such table."""
        found = self.document(SCHEMA_PREFIX + table)
        if found is None:
            raise FormatError(f"snapshot {self.sequence} of {self.unit}/{self.source} has no table {table!r:.80}")
        return found

    def encode(self) -> bytes:
        """Write the object's body."""
        return encode_json(
            {
                "agent": self.agent,
                "blobs": None if self.blobs is None else self.blobs.hex(),
                "consistency": self.consistency.value,
                "documents": [
                    {"name": d.name, "object": d.object.hex(), "sha256": d.sha256.hex()} for d in self.documents
                ],
                "format": FORMAT,
                "notes": list(self.notes),
                "omitted": [{"name": o.name, "reason": o.reason} for o in self.omitted],
                "parameters": {
                    "fanout": self.parameters.fanout,
                    "max": self.parameters.max,
                    "min": self.parameters.min,
                    "target": self.parameters.target,
                },
                "position": self.position,
                "sequence": self.sequence,
                "source": self.source,
                "tables": [_encode_table(table) for table in self.tables],
                "unit": self.unit,
            }
        )


def parse_manifest(raw: bytes) -> Manifest:
    """Read a manifest's body. Raises: FormatError, LimitError, UnsupportedError."""
    members = parse_members(parse_json(raw, "a manifest"), "a manifest", _MEMBERS)
    if members["format"] != FORMAT:
        raise FormatError(f"a manifest's format must be {FORMAT}, found {members['format']!r:.60}")
    consistency = expect_text(members["consistency"], "a manifest's consistency")
    if consistency not in list(Consistency):
        raise FormatError(
            f"a manifest's consistency must be one of {', '.join(Consistency)}, found {consistency!r:.60}"
        )
    return Manifest(
        unit=expect_text(members["unit"], "a manifest's unit"),
        source=expect_text(members["source"], "a manifest's source"),
        sequence=expect_integer(members["sequence"], "a manifest's sequence"),
        consistency=Consistency(consistency),
        position=expect_text(members["position"], "a manifest's position"),
        parameters=_read_parameters(members["parameters"]),
        tables=tuple(_read_table(t) for t in expect_list(members["tables"], "a manifest's tables", MAX_TABLES)),
        omitted=tuple(_read_omitted(o) for o in expect_list(members["omitted"], "omitted tables", MAX_TABLES)),
        documents=tuple(_read_document(d) for d in expect_list(members["documents"], "documents", MAX_DOCUMENTS)),
        blobs=_read_optional_id(members["blobs"], "a manifest's blobs"),
        notes=tuple(
            expect_text(n, "a manifest's note") for n in expect_list(members["notes"], "a manifest's notes", MAX_NOTES)
        ),
        agent=expect_text(members["agent"], "a manifest's agent"),
    )


def _encode_table(table: ManifestTable) -> Json:
    return {
        "carried_from": table.carried_from,
        "claim": table.claim.to_json(),
        "read_at": [encode_time(table.read_at[0]), encode_time(table.read_at[1])],
        "schema": table.schema.hex(),
        "top": None if table.top is None else table.top.hex(),
    }


def _read_table(value: Json) -> ManifestTable:
    members = parse_members(value, "a manifest's table", {"carried_from", "claim", "read_at", "schema", "top"})
    claim = read_claim(members["claim"])
    what = f"of table {claim.name!r:.80}"
    times = [
        parse_time(expect_text(t, f"read_at {what}"), f"read_at {what}")
        for t in expect_list(members["read_at"], "read_at", 2)
    ]
    if len(times) != 2:
        raise FormatError(f"read_at {what} must have two times, found {len(times)}")
    carried = members["carried_from"]
    return ManifestTable(
        claim,
        Sha256(parse_hex(expect_text(members["schema"], f"the schema {what}"), f"the schema {what}", 32)),
        _read_optional_id(members["top"], f"the top {what}"),
        (times[0], times[1]),
        None if carried is None else expect_integer(carried, f"carried_from {what}"),
    )


def _read_parameters(value: Json) -> Parameters:
    members = parse_members(value, "the parameters", {"min", "target", "max", "fanout"})
    return Parameters(**{name: expect_integer(number, f"the parameter {name}") for name, number in members.items()})


def _read_omitted(value: Json) -> Omitted:
    members = parse_members(value, "an omitted table", {"name", "reason"})
    return Omitted(
        expect_text(members["name"], "an omitted table's name"), expect_text(members["reason"], "the reason")
    )


def _read_document(value: Json) -> Document:
    members = parse_members(value, "a document", {"name", "object", "sha256"})
    name = expect_text(members["name"], "a document's name")
    digest = parse_hex(expect_text(members["sha256"], f"the hash of {name!r:.80}"), f"the hash of {name!r:.80}", 32)
    return Document(name, Sha256(digest), _read_id(members["object"], f"the object of {name!r:.80}"))


def _read_id(value: Json, what: str) -> ObjectId:
    return ObjectId(parse_hex(expect_text(value, what), what, 32))


def _read_optional_id(value: Json, what: str) -> ObjectId | None:
    return None if value is None else _read_id(value, what)


def _check_ascending(what: str, names: Iterable[str]) -> None:
    encoded = [name.encode("utf-8", "surrogatepass") for name in names]
    for before, after in pairwise(encoded):
        if before >= after:
            raise FormatError(
                f"the {what} must ascend by the bytes of their names, each once: {after[:80]!r} after {before[:80]!r}"
            )
