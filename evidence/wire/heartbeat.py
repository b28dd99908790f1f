# SPDX-License-Identifier: Apache-2.0
"""The heartbeat: an agent's own word on how it is, now and then, and the center's answer. No evidence, never logged. Pure.

    POST /v1/heartbeats   Heartbeat -> HeardAnswer    token of the unit

Times in it are by the agent's clock, which may be wrong; `clock` says what that clock shows, so that the center can tell.
Sources stand in the order of their names' bytes, each once, at most 1,000; the body has at most 512 KiB. As every body of
`/v1` it is JCS, has one encoding, and unknown members are refused. Source: docs/format.md, section 12.10.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from evidence.encode import (
    Json,
    encode_json,
    encode_time,
    expect_integer,
    expect_list,
    expect_text,
    parse_json,
    parse_members,
    parse_time,
)
from evidence.errors import FormatError, LimitError
from evidence.manifest.grammar import check_line_value, check_source_name

PATH_HEARTBEATS: Final = "/v1/heartbeats"
MAX_HEARTBEAT_BYTES: Final = 512 << 10
MAX_BEATS: Final = 1000
_MOST_VERSION: Final = 128
_CODE = re.compile(r"JS-[0-9]{4}", re.ASCII)


class BeatStage(StrEnum):
    """How far a source's newest statement has come, as its agent knows."""

    SPOOLED = "spooled"
    REGISTERED = "registered"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Failure:
    """The newest failure of a source that nothing has followed: when, and by which code of the agent's handbook."""

    at: datetime
    code: str

    def __post_init__(self) -> None:
        if not _CODE.fullmatch(self.code):
            raise FormatError(f"the code of a failure looks like JS-2101, found {self.code!r:.40}")

    def to_json(self) -> Json:
        """Give the failure as JSON has it."""
        return {"at": encode_time(self.at), "code": self.code}


@dataclass(frozen=True, slots=True)
class SourceBeat:
    """One source of an agent.

    `sequence`, `stage`, `taken` are of its newest statement, None before the first. `stored`: when the newest snapshot was
    taken that the center has whole; the source's lag is from then to the heartbeat's `clock`. `next_run`: when the agent's
    schedule will take it next, None where the agent does not know. `waiting` statements with `waiting_bytes` of packs are
    still in the spool.
    """

    source: str
    sequence: int | None = None
    stage: BeatStage | None = None
    taken: datetime | None = None
    stored: datetime | None = None
    next_run: datetime | None = None
    waiting: int = 0
    waiting_bytes: int = 0
    failure: Failure | None = None

    def __post_init__(self) -> None:
        check_source_name(self.source)
        if len({self.sequence is None, self.stage is None, self.taken is None}) != 1:
            raise FormatError(f"sequence, stage and time of {self.source} are of one statement, or none is there")
        if self.sequence == 0:
            raise FormatError(f"sequences start at 1, found 0 for {self.source}")

    def to_json(self) -> Json:
        """Give the source as JSON has it."""
        return {
            "failure": None if self.failure is None else self.failure.to_json(),
            "next": _encode_time(self.next_run),
            "sequence": self.sequence,
            "source": self.source,
            "stage": None if self.stage is None else self.stage.value,
            "stored": _encode_time(self.stored),
            "taken": _encode_time(self.taken),
            "waiting": self.waiting,
            "waiting_bytes": self.waiting_bytes,
        }


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The whole agent. `clock` is what its clock shows; `free_bytes` are left on the spool's volume, None: unknown.

    `paused_until` is there only while the agent is paused, and even then not where it is paused until it is resumed.
    """

    clock: datetime
    software: str
    free_bytes: int | None
    paused: bool
    paused_until: datetime | None
    sources: tuple[SourceBeat, ...]

    format: ClassVar[str] = "jinsuo/heartbeat@v1"

    def __post_init__(self) -> None:
        check_line_value(self.software, "the software of a heartbeat")
        if len(self.software) > _MOST_VERSION:
            raise LimitError(f"the software of a heartbeat has at most {_MOST_VERSION} characters")
        if len(self.sources) > MAX_BEATS:
            raise LimitError(f"a heartbeat names at most {MAX_BEATS} sources, found {len(self.sources)}")
        names = [beat.source.encode() for beat in self.sources]
        if names != sorted(set(names)):
            raise FormatError("the sources of a heartbeat stand in the order of their names, each once")
        if not self.paused and self.paused_until is not None:
            raise FormatError("an agent that is not paused has no time until which it is")

    def find(self, source: str) -> SourceBeat | None:
        """Give what it says of a source, or None."""
        return next((beat for beat in self.sources if beat.source == source), None)

    def encode(self) -> bytes:
        """Write the body. Raises: LimitError over 512 KiB."""
        raw = encode_json(
            {
                "clock": encode_time(self.clock),
                "format": self.format,
                "free_bytes": self.free_bytes,
                "paused": self.paused,
                "paused_until": _encode_time(self.paused_until),
                "software": self.software,
                "sources": [beat.to_json() for beat in self.sources],
            }
        )
        _check_size(raw)
        return raw


def parse_heartbeat(raw: bytes) -> Heartbeat:
    """Read a heartbeat. Raises: FormatError, LimitError."""
    what = f"a body of {Heartbeat.format}"
    _check_size(raw)
    names = {"clock", "format", "free_bytes", "paused", "paused_until", "software", "sources"}
    members = parse_members(parse_json(raw, what), what, names)
    if members["format"] != Heartbeat.format:
        raise FormatError(f"the body must have the format {Heartbeat.format}, found {members['format']!r:.60}")
    return Heartbeat(
        parse_time(expect_text(members["clock"], "clock"), "clock"),
        expect_text(members["software"], "software"),
        None if members["free_bytes"] is None else expect_integer(members["free_bytes"], "free_bytes"),
        _parse_flag(members["paused"], "paused"),
        _parse_time(members["paused_until"], "paused_until"),
        tuple(_parse_source(item) for item in expect_list(members["sources"], "sources", MAX_BEATS)),
    )


@dataclass(frozen=True, slots=True)
class HeardAnswer:
    """The heartbeat was heard, at this time by the center's clock."""

    at: datetime

    format: ClassVar[str] = "jinsuo/heard@v1"

    def encode(self) -> bytes:
        """Write the body."""
        return encode_json({"at": encode_time(self.at), "format": self.format})


def parse_heard_answer(raw: bytes) -> HeardAnswer:
    """Read a HeardAnswer. Raises: FormatError, LimitError."""
    what = f"a body of {HeardAnswer.format}"
    _check_size(raw)
    members = parse_members(parse_json(raw, what), what, {"at", "format"})
    if members["format"] != HeardAnswer.format:
        raise FormatError(f"the body must have the format {HeardAnswer.format}, found {members['format']!r:.60}")
    return HeardAnswer(parse_time(expect_text(members["at"], "at"), "at"))


def _parse_source(value: Json) -> SourceBeat:
    what = "a source of a heartbeat"
    names = {"failure", "next", "sequence", "source", "stage", "stored", "taken", "waiting", "waiting_bytes"}
    members = parse_members(value, what, names)
    stage, sequence = members["stage"], members["sequence"]
    return SourceBeat(
        expect_text(members["source"], "source"),
        None if sequence is None else expect_integer(sequence, "sequence"),
        None if stage is None else _parse_stage(stage),
        _parse_time(members["taken"], "taken"),
        _parse_time(members["stored"], "stored"),
        _parse_time(members["next"], "next"),
        expect_integer(members["waiting"], "waiting"),
        expect_integer(members["waiting_bytes"], "waiting_bytes"),
        None if members["failure"] is None else _parse_failure(members["failure"]),
    )


def _parse_failure(value: Json) -> Failure:
    members = parse_members(value, "a failure", {"at", "code"})
    return Failure(parse_time(expect_text(members["at"], "at"), "at"), expect_text(members["code"], "code"))


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_HEARTBEAT_BYTES:
        raise LimitError(f"a heartbeat of {len(raw)} bytes is over the bound of {MAX_HEARTBEAT_BYTES}")


def _encode_time(moment: datetime | None) -> str | None:
    return None if moment is None else encode_time(moment)


def _parse_time(value: Json, what: str) -> datetime | None:
    return None if value is None else parse_time(expect_text(value, what), what)


def _parse_flag(value: Json, what: str) -> bool:
    if not isinstance(value, bool):
        raise FormatError(f"{what} must be true or false, found {value!r:.40}")
    return value


def _parse_stage(value: Json) -> BeatStage:
    try:
        return BeatStage(expect_text(value, "stage"))
    except ValueError as err:
        raise FormatError(f"stage must be one of {', '.join(BeatStage)}, found {value!r:.40}") from err
