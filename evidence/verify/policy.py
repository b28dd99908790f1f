# SPDX-License-Identifier: Apache-2.0
"""The verifier's policy file: whom it believes. Pure; the file's bytes are an argument.

Lines of C2SP tlog-policy, and three of ours. Spaces or tabs separate items; empty lines and `#` lines are skipped.

    log <vkey> [<url>]                      a log (the center's); the key's name is its origin
    witness <name> <vkey> [<url>]           a cosigner (type 04); the name serves this file only
    group <name> <k|any|all> <member>...    k of witnesses and groups above; each name is a member once at most
    quorum <name|none>                      exactly once: who must have cosigned a checkpoint
    operator <vkey>                         signs the center's own acts; named <origin>/operator
    unit <UNIT> <vkey> [since=<time>] [until=<time>] [sequences=<SOURCE>:<first>-[<last>]]...
                                            a unit's statement key (type 01, named UNIT), and when it speaks
    tsa <base64 DER certificate>            a time-stamp authority's root; or
    tsa sha256:<hex>                        the root with this hash, which the bundle then brings along

Times look like 2026-11-22T01:00:00.000000Z. A key stands once. Another line is an error, with its number.
Source: C2SP tlog-policy; the rest: docs/format.md.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from evidence.digest import Sha256
from evidence.encode import encode_base64, encode_time, parse_base64, parse_decimal, parse_hex, parse_time
from evidence.errors import EvidenceError, PolicyError
from evidence.keys.key import KeyType, VerificationKey, parse_vkey
from evidence.keys.trust import SequenceRange, Trust, UnitKey
from evidence.manifest.grammar import check_source_name, check_unit_name
from evidence.note.cosign import Cosignature
from evidence.timestamp.rfc3161 import parse_certificate

MAX_POLICY_BYTES: Final = 1 << 20
NO_QUORUM: Final = "none"
_RANGE = re.compile(r"([^:]+):([0-9]+)-([0-9]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Witness:
    """A cosigner, under its name in the policy."""

    name: str
    key: VerificationKey


@dataclass(frozen=True, slots=True)
class Group:
    """`threshold` of the `members` (witnesses and groups) speak for the group."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom a verifier believes. `quorum` is the name of a witness or group, or `none`."""

    logs: tuple[VerificationKey, ...] = ()
    operators: tuple[VerificationKey, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str = NO_QUORUM
    units: tuple[UnitKey, ...] = ()
    roots: tuple[x509.Certificate, ...] = ()
    root_hashes: tuple[Sha256, ...] = ()

    @property
    def trust(self) -> Trust:
        """Who speaks for the units."""
        return Trust(self.units)

    def is_quorum(self, names: Collection[str]) -> bool:
        """Tell whether the witnesses `names` are a quorum; never where there is none to ask for."""
        return self.quorum != NO_QUORUM and self._has_spoken(self.quorum, names)

    def quorum_time(self, cosignatures: Iterable[Cosignature], except_key_name: str) -> int | None:
        """Find the Unix second from which on a quorum had cosigned, if ever.

        Witnesses named `except_key_name` do not count (a unit's own cosignature proves nothing about its own
        statement), nor cosignatures at 0, which say nothing of a time.
        """
        names = {witness.key: witness.name for witness in self.witnesses if witness.key.name != except_key_name}
        spoken: set[str] = set()
        for cosignature in sorted(cosignatures, key=lambda c: c.unix_s):
            if cosignature.key in names and cosignature.unix_s > 0:
                spoken.add(names[cosignature.key])
                if self.is_quorum(spoken):
                    return cosignature.unix_s
        return None

    def encode(self) -> str:
        """Write a policy file that reads as this policy."""
        lines = [f"log {key.vkey}" for key in self.logs]
        lines += [f"operator {key.vkey}" for key in self.operators]
        lines += [_encode_unit(unit) for unit in self.units]
        lines += [f"witness {w.name} {w.key.vkey}" for w in self.witnesses]
        lines += [f"group {g.name} {g.threshold} {' '.join(g.members)}" for g in self.groups]
        lines += [f"quorum {self.quorum}"]
        lines += [f"tsa {encode_base64(root.public_bytes(Encoding.DER))}" for root in self.roots]
        lines += [f"tsa sha256:{digest.hex()}" for digest in self.root_hashes]
        return "\n".join(lines) + "\n"

    def _has_spoken(self, name: str, names: Collection[str]) -> bool:
        group = next((g for g in self.groups if g.name == name), None)
        if group is None:
            return name in names
        return sum(self._has_spoken(member, names) for member in group.members) >= group.threshold


def parse_policy(raw: bytes) -> Policy:
    """Read a policy file. Raises: PolicyError; the message says which line is wrong, and why."""
    if len(raw) > MAX_POLICY_BYTES:
        raise PolicyError(f"the policy has {len(raw)} bytes; at most {MAX_POLICY_BYTES} are read")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise PolicyError(f"the policy must be UTF-8: byte {err.start} is not") from err
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            reader.read(line.strip(" \t\r"))
        except EvidenceError as err:
            raise PolicyError(f"line {number} of the policy: {err}") from err
    return reader.finish()


class _Reader:
    """Collects the lines of one policy."""

    def __init__(self) -> None:
        self._logs: list[VerificationKey] = []
        self._operators: list[VerificationKey] = []
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorum: str | None = None
        self._units: list[UnitKey] = []
        self._roots: list[x509.Certificate] = []
        self._root_hashes: list[Sha256] = []
        self._publics: set[tuple[str, bytes]] = set()
        self._members: set[str] = set()
        self._keywords: dict[str, Callable[[list[str]], None]] = {
            "log": self._read_log,
            "operator": self._read_operator,
            "witness": self._read_witness,
            "group": self._read_group,
            "quorum": self._read_quorum,
            "unit": self._read_unit,
            "tsa": self._read_tsa,
        }

    def read(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        if any(c < " " and c != "\t" for c in line):
            raise PolicyError("it has a control character")
        keyword, *items = re.split("[ \t]+", line)
        reader = self._keywords.get(keyword)
        if reader is None:
            raise PolicyError(f"{keyword!r:.40} is none of {', '.join(self._keywords)}")
        reader(items)

    def finish(self) -> Policy:
        if self._quorum is None:
            raise PolicyError("the policy has no quorum line; write `quorum none` to ask for no cosignatures")
        origins = {key.name for key in self._logs}
        for key in self._operators:
            if key.name.removesuffix("/operator") not in origins:
                raise PolicyError(f"the operator {key.name} belongs to none of the policy's logs")
        try:
            Trust(self._units)
        except EvidenceError as err:
            raise PolicyError(f"the policy's units: {err}") from err
        return Policy(
            tuple(self._logs),
            tuple(self._operators),
            tuple(self._witnesses),
            tuple(self._groups),
            self._quorum,
            tuple(self._units),
            tuple(self._roots),
            tuple(self._root_hashes),
        )

    def _read_log(self, items: list[str]) -> None:
        _check_count(items, 1, 2, "log <vkey> [<url>]")
        self._logs.append(self._key("log", items[0], KeyType.ED25519))

    def _read_operator(self, items: list[str]) -> None:
        _check_count(items, 1, 1, "operator <vkey>")
        key = self._key("operator", items[0], KeyType.ED25519)
        if not key.name.endswith("/operator"):
            raise PolicyError(f"an operator's key is named <origin>/operator, found {key.name}")
        self._operators.append(key)

    def _read_witness(self, items: list[str]) -> None:
        _check_count(items, 2, 3, "witness <name> <vkey> [<url>]")
        self._check_new_name(items[0])
        self._witnesses.append(Witness(items[0], self._key("witness", items[1], KeyType.COSIGNATURE)))

    def _read_group(self, items: list[str]) -> None:
        _check_count(items, 3, None, "group <name> <k|any|all> <member>...")
        name, threshold, *members = items
        self._check_new_name(name)
        for member in members:
            self._check_known_name(member)
            if member in self._members:
                raise PolicyError(f"{member!r:.60} is a member of a group already")
            self._members.add(member)
        count = {"any": 1, "all": len(members)}.get(threshold)
        if count is None:
            count = parse_decimal(threshold, "a group's threshold")
        if not 1 <= count <= len(members):
            raise PolicyError(f"group {name!r:.60} asks for {count} of {len(members)} members")
        self._groups.append(Group(name, count, tuple(members)))

    def _read_quorum(self, items: list[str]) -> None:
        _check_count(items, 1, 1, "quorum <name|none>")
        if self._quorum is not None:
            raise PolicyError("a policy has one quorum line")
        if items[0] != NO_QUORUM:
            self._check_known_name(items[0])
        self._quorum = items[0]

    def _read_unit(self, items: list[str]) -> None:
        _check_count(
            items, 2, None, "unit <UNIT> <vkey> [since=<time>] [until=<time>] [sequences=<SOURCE>:<first>-[<last>]]"
        )
        unit, vkey, *bounds = items
        check_unit_name(unit)
        key = self._key("unit", vkey, KeyType.ED25519)
        if key.name != unit:
            raise PolicyError(f"the key of unit {unit} is named {key.name}")
        self._units.append(_read_bounds(key, bounds))

    def _read_tsa(self, items: list[str]) -> None:
        _check_count(items, 1, 1, "tsa <base64 DER certificate> or tsa sha256:<hex>")
        if items[0].startswith("sha256:"):
            digest = parse_hex(items[0].removeprefix("sha256:"), "the hash of a root certificate", 32)
            self._root_hashes.append(Sha256(digest))
        else:
            self._roots.append(parse_certificate(parse_base64(items[0], "a root certificate")))

    def _key(self, role: str, vkey: str, kind: KeyType) -> VerificationKey:
        key = parse_vkey(vkey)
        if key.kind is not kind:
            raise PolicyError(f"the key {key.name} has type {key.kind:02d}; a {role} has a key of type {kind:02d}")
        if (role, key.public) in self._publics:
            raise PolicyError(f"the key of {role} {key.name} stands twice")
        self._publics.add((role, key.public))
        return key

    def _check_new_name(self, name: str) -> None:
        if name == NO_QUORUM or name in self._names():
            raise PolicyError(f"the name {name!r:.60} is taken")

    def _check_known_name(self, name: str) -> None:
        if name not in self._names():
            raise PolicyError(f"no witness or group above is named {name!r:.60}")

    def _names(self) -> set[str]:
        return {w.name for w in self._witnesses} | {g.name for g in self._groups}


def _read_bounds(key: VerificationKey, bounds: list[str]) -> UnitKey:
    times: dict[str, datetime] = {}
    ranges: list[SequenceRange] = []
    for bound in bounds:
        name, _, value = bound.partition("=")
        if name in ("since", "until") and name not in times:
            times[name] = parse_time(value, name)
        elif name == "sequences":
            ranges.append(_read_range(value))
        else:
            raise PolicyError(
                f"a unit's key has the bounds since=, until= (once each) and sequences=, found {bound!r:.60}"
            )
    return UnitKey(key, times.get("since"), times.get("until"), tuple(ranges))


def _read_range(text: str) -> SequenceRange:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise PolicyError(f"sequences= looks like his:1-17 or his:18-, found {text!r:.60}")
    check_source_name(match[1])
    last = parse_decimal(match[3], "the last sequence") if match[3] else None
    return SequenceRange(match[1], parse_decimal(match[2], "the first sequence"), last)


def _encode_unit(unit: UnitKey) -> str:
    parts = ["unit", unit.unit, unit.key.vkey]
    if unit.since is not None:
        parts.append(f"since={encode_time(unit.since)}")
    if unit.until is not None:
        parts.append(f"until={encode_time(unit.until)}")
    parts += [f"sequences={r.source}:{r.first}-{'' if r.last is None else r.last}" for r in unit.sequences]
    return " ".join(parts)


def _check_count(items: list[str], least: int, most: int | None, form: str) -> None:
    if len(items) < least or (most is not None and len(items) > most):
        raise PolicyError(f"it must look like `{form}`, found {len(items)} items")
