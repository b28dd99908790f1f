# SPDX-License-Identifier: Apache-2.0
"""A bag: what is put in comes out byte for byte, for the center alone; whatever is damaged is named."""

import hashlib
import os
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from evidence.bag.envelope import Envelope, read_envelope, sign_envelope, verify_envelope
from evidence.bag.layout import ENVELOPE_PATH, pack_path, parse_manifest, payload_paths
from evidence.bag.read import BagReader, DamagedError
from evidence.bag.seal import open_key, seal_pack, unseal_pack
from evidence.bag.write import remove_bag
from evidence.digest import pack_name
from evidence.errors import FormatError, SignatureError, UnknownSignerError
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.objects.pack import MAGIC, MAX_PACK_BYTES
from tests.builders.bags import PLANTED, SECRETS, Sender, all_bytes, sample_packs

KEY = bytes(range(32))


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bag"


def _data_key(sender: Sender, envelope: Envelope) -> bytes:
    return open_key(envelope.key, envelope.place, sender.center)


@pytest.mark.parametrize("part", [1, 4096, 1 << 20])
def test_an_unsealed_pack_is_the_pack_that_was_sealed_byte_for_byte(part: int) -> None:
    for name, raw in sample_packs():
        sealed = b"".join(seal_pack([raw[i : i + part] for i in range(0, len(raw), part)], KEY))
        assert sealed != raw
        plain = b"".join(unseal_pack([sealed[i : i + part] for i in range(0, len(sealed), part)], KEY))
        assert (plain, pack_name([plain])) == (raw, name)


def test_a_pack_is_sealed_with_fresh_nonces_each_time() -> None:
    _, raw = sample_packs()[0]
    assert b"".join(seal_pack([raw], KEY)) != b"".join(seal_pack([raw], KEY))


def test_a_pack_at_its_bounds_can_be_sealed_and_read_again() -> None:
    # Many frames make sealing cost most: 28 bytes each, beyond what a pack that is not sealed may have.
    frame = struct.pack(">B32sIIB", 1, bytes(32), 471, 471, 0) + bytes(471)
    raw = MAGIC + frame * ((MAX_PACK_BYTES - len(MAGIC)) // len(frame))
    assert len(raw) > MAX_PACK_BYTES - 1000
    sealed = b"".join(seal_pack([raw], KEY))
    assert len(sealed) > MAX_PACK_BYTES
    assert b"".join(unseal_pack([sealed], KEY)) == raw


def test_a_sealed_pack_is_not_sealed_twice_and_a_plain_one_not_unsealed() -> None:
    _, raw = sample_packs()[0]
    sealed = b"".join(seal_pack([raw], KEY))
    with pytest.raises(FormatError, match="sealed already"):
        list(seal_pack([sealed], KEY))
    with pytest.raises(FormatError, match="not sealed"):
        list(unseal_pack([raw], KEY))


def test_a_pack_sealed_under_another_key_does_not_open() -> None:
    sealed = b"".join(seal_pack([sample_packs()[0][1]], KEY))
    with pytest.raises(FormatError, match="does not open with this key"):
        list(unseal_pack([sealed], bytes(32)))


def test_every_flipped_bit_of_a_sealed_frame_is_found() -> None:
    sealed = bytearray(b"".join(seal_pack([sample_packs()[0][1]], KEY)))
    for place in range(len(sealed) * 8):
        sealed[place // 8] ^= 1 << place % 8
        with pytest.raises(FormatError):
            list(unseal_pack([bytes(sealed)], KEY))
        sealed[place // 8] ^= 1 << place % 8


def test_what_was_put_into_a_bag_comes_out(sender: Sender, folder: Path) -> None:
    written = sender.write(folder, notes=[b"first\n", b"second\n"])
    reader = BagReader(folder)
    verify_envelope(reader.note, reader.envelope, sender.signer.key)
    assert reader.envelope == written
    key = _data_key(sender, written)
    found = [(pack.name, b"".join(reader.open_pack(pack, key))) for pack in reader.envelope.packs]
    assert found == sample_packs()
    assert [reader.read_statement(s) for s in written.statements] == [b"first\n", b"second\n"]
    assert (reader.find_absent(), reader.find_damaged_lists()) == ([], [])


def test_lists_are_as_bagit_wants_them(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    for algorithm in ("sha256", "sha512"):
        listed = parse_manifest((folder / f"manifest-{algorithm}.txt").read_bytes(), algorithm)
        assert set(listed) == payload_paths(envelope)
        tags = parse_manifest((folder / f"tagmanifest-{algorithm}.txt").read_bytes(), algorithm, tags=True)
        assert set(tags) == {"bagit.txt", "bag-info.txt", "manifest-sha256.txt", "manifest-sha512.txt"}
        for path, digest in {**listed, **tags}.items():
            assert hashlib.new(algorithm, (folder / path).read_bytes()).hexdigest() == digest, path
    octets = sum((folder / path).stat().st_size for path in payload_paths(envelope))
    assert f"Payload-Oxum: {octets}.5\n" in (folder / "bag-info.txt").read_text()


def test_nothing_of_the_content_can_be_read_without_the_centers_key(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    bytes_ = all_bytes(folder)
    for secret in (PLANTED, PLANTED[:9], SECRETS.row_secret, SECRETS.storage_key, _data_key(sender, envelope)):
        assert secret not in bytes_
    assert not any(raw[-200:] in bytes_ for _, raw in sample_packs())
    with pytest.raises(SignatureError, match="does not open"):
        open_key(envelope.key, envelope.place, X25519PrivateKey.generate())


def test_a_data_key_opens_for_its_own_bag_alone(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    for other in ("unit", "source", "origin", "bag"):
        place = type(envelope.place)(
            **{name: getattr(envelope.place, name) for name in ("origin", "unit", "source", "bag")} | {other: "0" * 32}
        )
        with pytest.raises(SignatureError):
            open_key(envelope.key, place, sender.center)


def test_a_damaged_pack_is_named_and_the_others_can_be_read(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    path = pack_path(envelope.packs[1])
    raw = bytearray((folder / path).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / path).write_bytes(raw)
    reader = BagReader(folder)
    key = _data_key(sender, envelope)
    with pytest.raises(DamagedError) as caught:
        list(reader.open_pack(envelope.packs[1], key))
    assert caught.value.path == path
    assert b"".join(reader.open_pack(envelope.packs[2], key)) == sample_packs()[2][1]


def test_whatever_is_sealed_wrongly_but_whole_is_no_damage(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    with pytest.raises(FormatError) as caught:
        list(BagReader(folder).open_pack(envelope.packs[0], bytes(32)))
    assert not isinstance(caught.value, DamagedError)


def test_a_file_that_is_cut_off_or_missing_is_named(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    path = pack_path(envelope.packs[0])
    os.truncate(folder / path, 100)
    (folder / "data/statements/his/1.note").unlink()
    reader = BagReader(folder)
    assert reader.find_absent() == sorted([path, "data/statements/his/1.note"])
    for read in (
        lambda: list(reader.open_pack(envelope.packs[0], _data_key(sender, envelope))),
        lambda: reader.read_statement(envelope.statements[0]),
    ):
        with pytest.raises(DamagedError):
            read()


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("data/more.txt", b"x", "data/more.txt"),
        ("bagit.txt", b"BagIt-Version: 0.97\n", "bagit.txt"),
        ("manifest-sha512.txt", b"", "manifest-sha512.txt"),
        ("manifest-sha256.txt", b"00  ../../etc/passwd\n", "manifest-sha256.txt"),
        ("bag-info.txt", b"Payload-Oxum: 1.1\n", "tagmanifest-sha256.txt"),
        ("tagmanifest-sha256.txt", b"\xff\n", "tagmanifest-sha256.txt"),
    ],
)
def test_lists_that_are_not_as_they_should_be_are_told_and_do_no_harm(
    sender: Sender, folder: Path, path: str, body: bytes, wrong: str
) -> None:
    envelope = sender.write(folder)
    (folder / path).write_bytes(body)
    reader = BagReader(folder)
    assert wrong in [damage.path for damage in reader.find_damaged_lists()]
    assert b"".join(reader.open_pack(envelope.packs[0], _data_key(sender, envelope))) == sample_packs()[0][1]


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "data/../x", "data/packs/x.pack", "data/statements/../1.note", "data/statements/his/01.note",
     "data/packs/" + "A" * 64 + ".pack", "data//envelope.note", "data/envelope.note ", "data\\envelope.note", "data/envelope.json"],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(FormatError):
        parse_manifest(f"{'0' * 64}  {path}\n".encode(), "sha256")
    with pytest.raises(FormatError):
        parse_manifest(f"{'0' * 64}  {path}\n".encode(), "sha256", tags=True)


@pytest.mark.parametrize(
    "raw", [b"x", b"0  a", b"\n", b"%b  bagit.txt" % (b"0" * 64), b"%b *bagit.txt\n" % (b"0" * 64)]
)
def test_a_list_of_another_form_is_refused(raw: bytes) -> None:
    with pytest.raises(FormatError):
        parse_manifest(raw, "sha256", tags=True)


def test_a_path_twice_or_out_of_order_is_refused() -> None:
    lines = [f"{'0' * 64}  {path}\n" for path in ("a", "b")]
    assert parse_manifest("".join(lines).encode(), "sha256", tags=True)
    for wrong in (lines[::-1], [lines[0], lines[0]]):
        with pytest.raises(FormatError, match="out of order"):
            parse_manifest("".join(wrong).encode(), "sha256", tags=True)


def _link_a_pack(folder: Path, envelope: Envelope) -> None:
    path = folder / pack_path(envelope.packs[0])
    path.rename(folder.with_name("elsewhere"))
    path.symlink_to(folder.with_name("elsewhere"))


def _link_a_folder(folder: Path, envelope: Envelope) -> None:
    (folder / "data" / "packs").rename(folder.with_name("packs"))
    (folder / "data" / "packs").symlink_to(folder.with_name("packs"), target_is_directory=True)


def _make_a_pipe(folder: Path, envelope: Envelope) -> None:
    os.mkfifo(folder / "data" / "pipe")


def _fetch(folder: Path, envelope: Envelope) -> None:
    (folder / "fetch.txt").write_text("https://elsewhere.example/x - data/envelope.note\n")


def _dig(folder: Path, envelope: Envelope) -> None:
    (folder / "a/b/c/d/e").mkdir(parents=True)


@pytest.mark.parametrize(
    ("harm", "match"),
    [
        (_link_a_pack, "a link"),
        (_link_a_folder, "a link"),
        (_make_a_pipe, "neither file nor folder"),
        (_fetch, "fetch"),
        (_dig, "deep"),
    ],
)
def test_a_bag_that_leads_out_of_itself_is_refused(sender: Sender, folder: Path, harm: object, match: str) -> None:
    envelope = sender.write(folder)
    assert callable(harm)
    harm(folder, envelope)
    with pytest.raises(FormatError, match=match):
        BagReader(folder)


def test_a_link_that_is_put_in_place_of_a_file_between_two_looks_is_not_followed(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    reader = BagReader(folder)
    _link_a_folder(folder, envelope)
    with pytest.raises(DamagedError, match="cannot be read"):
        list(reader.open_pack(envelope.packs[0], _data_key(sender, envelope)))


def test_a_bag_without_a_readable_envelope_says_so(sender: Sender, folder: Path) -> None:
    sender.write(folder)
    path = folder / ENVELOPE_PATH
    raw = path.read_bytes()
    for body in (None, b"", raw[:-1], raw[: len(raw) // 2]):
        path.unlink(missing_ok=True)
        if body is not None:
            path.write_bytes(body)
        with pytest.raises(DamagedError) as caught:
            BagReader(folder)
        assert caught.value.path == ENVELOPE_PATH


def test_every_flipped_bit_of_an_envelope_is_found(sender: Sender, folder: Path) -> None:
    sender.write(folder)
    raw = bytearray((folder / ENVELOPE_PATH).read_bytes())
    for place in range(0, len(raw) * 8, 5):
        raw[place // 8] ^= 1 << place % 8
        with pytest.raises((FormatError, SignatureError, UnknownSignerError)):
            verify_envelope(*read_envelope(bytes(raw)), sender.signer.key)
        raw[place // 8] ^= 1 << place % 8


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"volume":1', b'"volume":2'),
        (b'"volume":1,', b'"more":1,"volume":1,'),
        (b'"source":"his"', b'"source":".."'),
        (b'"format":"jinsuo/bag@v1"', b'"format":"jinsuo/bag@v2"'),
        (b'"set":"00112233445566778899aabbccddeeff"', b'"set":""'),
        (b'"sequence":1', b'"sequence":0'),
        (b'{"bag"', b'{ "bag"'),
    ],
)
def test_an_envelope_has_one_encoding_and_no_unknown_members(
    sender: Sender, folder: Path, old: bytes, new: bytes
) -> None:
    sender.write(folder)
    raw = (folder / ENVELOPE_PATH).read_bytes()
    assert raw.count(old) == 1
    with pytest.raises(FormatError):
        read_envelope(raw.replace(old, new))


def test_an_envelope_by_another_key_or_of_another_unit_is_not_the_units(sender: Sender, folder: Path) -> None:
    envelope = sender.write(folder)
    stranger = Ed25519Signer.from_seed("X013", KeyType.ED25519, bytes(32))
    with pytest.raises(UnknownSignerError):
        verify_envelope(*read_envelope(sign_envelope(envelope, stranger)), sender.signer.key)
    twice = sign_envelope(envelope, sender.signer) + sign_envelope(envelope, stranger).rpartition(b"\n\n")[2]
    with pytest.raises(FormatError, match="2 signatures"):
        verify_envelope(*read_envelope(twice), sender.signer.key)


def test_a_bag_is_removed_with_all_that_is_in_it_but_links_are_not_followed(sender: Sender, folder: Path) -> None:
    sender.write(folder)
    outside = folder.with_name("outside")
    outside.mkdir()
    (outside / "kept").write_bytes(b"")
    (folder / "data" / "link").symlink_to(outside, target_is_directory=True)
    remove_bag(folder)
    assert not folder.exists()
    assert (outside / "kept").exists()
