# SPDX-License-Identifier: Apache-2.0
"""New TLS keys of a center, announced by its log's key. Pure.

A signed note with one line, by the log's key under its origin; its text:

    jinsuo/tls@v1 LF  origin <log's origin> LF  replaces <sha256 of the SPKI, hex> LF  spki-sha256 <the same of the new> LF
    from <time> LF

Whoever pins `replaces` may take `spki-sha256` for the center's as well from now on; `from` tells people when it is used.
A center serves all that it ever made, oldest first, as JCS `{"format":"jinsuo/tls-keys@v1","notes":[note...]}`. They are
links of a chain: a note counts only for the pin that it replaces, so an older one shown again leads nowhere.
Source: design section 6, docs/decisions/0061.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evidence.digest import HASH_SIZE, Sha256
from evidence.encode import (
    encode_json,
    encode_time,
    expect_list,
    expect_text,
    parse_hex,
    parse_json,
    parse_members,
    parse_time,
)
from evidence.errors import FormatError, LimitError, SignatureError
from evidence.keys.key import VerificationKey, check_key_name
from evidence.keys.signer import Signer
from evidence.manifest.grammar import encode_lines, expect_same, split_lines, take_values
from evidence.note.signed import Note, parse_note, sign_note, verify_note

MAX_ANNOUNCEMENT_BYTES: Final = 2048
MAX_ANNOUNCEMENTS: Final = 64
MAX_ANSWER_BYTES: Final = 256 << 10
_HEADER: Final = "jinsuo/tls@v1"
_NAMES: Final = ("origin", "replaces", "spki-sha256", "from")
_FORMAT: Final = "jinsuo/tls-keys@v1"


@dataclass(frozen=True, slots=True)
class TlsAnnouncement:
    """A new TLS key: SHA-256 of its SubjectPublicKeyInfo, and of the one that it follows."""

    origin: str
    replaces: Sha256
    spki: Sha256
    from_: datetime

    def __post_init__(self) -> None:
        check_key_name(self.origin)
        if len(self.replaces) != HASH_SIZE or len(self.spki) != HASH_SIZE or self.replaces == self.spki:
            raise FormatError("an announcement names two different TLS keys by hashes of 32 bytes")

    def encode(self) -> bytes:
        """Write the text."""
        return encode_lines(
            _HEADER,
            (
                ("origin", self.origin),
                ("replaces", self.replaces.hex()),
                ("spki-sha256", self.spki.hex()),
                ("from", encode_time(self.from_)),
            ),
        )


def parse_announcement(text: bytes) -> TlsAnnouncement:
    """Read an announcement's text. Raises: FormatError."""
    what = "an announcement of a TLS key"
    values = take_values(split_lines(text, _HEADER, what), _NAMES, what)
    announcement = TlsAnnouncement(
        values["origin"],
        Sha256(parse_hex(values["replaces"], "replaces", HASH_SIZE)),
        Sha256(parse_hex(values["spki-sha256"], "spki-sha256", HASH_SIZE)),
        parse_time(values["from"], "from"),
    )
    expect_same(announcement.encode(), text, what)
    return announcement


def sign_announcement(announcement: TlsAnnouncement, signer: Signer) -> Note:
    """Sign an announcement by its log's key. Raises: FormatError if it is another's."""
    if signer.key.name != announcement.origin:
        raise FormatError(f"the key {signer.key.name} cannot announce for the log {announcement.origin}")
    return sign_note(announcement.encode(), [signer])


def verify_announcement(raw: bytes, log_key: VerificationKey) -> TlsAnnouncement:
    """Give what the log with `log_key` has announced in the note `raw`.

    Raises: FormatError, LimitError; UnknownSignerError: signed by another key; SignatureError: false, or of another log.
    """
    note = parse_note(raw, MAX_ANNOUNCEMENT_BYTES)
    if len(note.signatures) != 1:
        raise FormatError(f"an announcement carries one signature, found {len(note.signatures)}")
    verify_note(note, [log_key])
    announcement = parse_announcement(note.text)
    if announcement.origin != log_key.name:
        raise SignatureError(f"the announcement is of the log {announcement.origin}, but signed by {log_key.name}")
    return announcement


def encode_announcements(notes: Sequence[bytes]) -> bytes:
    """Write the answer that holds these notes, oldest first. Raises: LimitError over 64 of them."""
    if len(notes) > MAX_ANNOUNCEMENTS:
        raise LimitError(f"a center announces at most {MAX_ANNOUNCEMENTS} TLS keys, found {len(notes)}")
    return encode_json({"format": _FORMAT, "notes": [note.decode() for note in notes]})


def parse_announcements(raw: bytes) -> tuple[bytes, ...]:
    """Read such an answer; nothing is verified. Raises: FormatError, LimitError."""
    what = "the announcements of TLS keys"
    if len(raw) > MAX_ANSWER_BYTES:
        raise LimitError(f"{what} have {len(raw)} bytes; at most {MAX_ANSWER_BYTES} are read")
    members = parse_members(parse_json(raw, what), what, {"format", "notes"})
    if members["format"] != _FORMAT:
        raise FormatError(f"the format of {what} must be {_FORMAT}, found {members['format']!r:.60}")
    notes = expect_list(members["notes"], "notes", MAX_ANNOUNCEMENTS)
    return tuple(expect_text(note, "an announcement").encode() for note in notes)


def follow_announcements(notes: Sequence[bytes], log_key: VerificationKey, pin: Sha256) -> tuple[TlsAnnouncement, ...]:
    """Give the announcements that lead on from `pin`, each from the one before; empty if none begins there.

    Raises: as `verify_announcement`, for any of the notes: a center that shows one false one is not followed at all.
    """
    followed: list[TlsAnnouncement] = []
    seen = {pin}
    for announcement in [verify_announcement(note, log_key) for note in notes]:
        if announcement.replaces == pin and announcement.spki not in seen:
            followed.append(announcement)
            pin = announcement.spki
            seen.add(pin)
    return tuple(followed)
