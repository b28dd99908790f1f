# SPDX-License-Identifier: Apache-2.0
"""Packs that are damaged, forged or of somebody else: refused with a sentence, and nothing of them is kept."""

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from center.app import CATALOG_NAME, Center
from center.errors import PackError, StoreError
from center.registry.objects import pack_path
from center.registry.rebuild import rebuild_catalog
from evidence.digest import ObjectId, pack_name
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import MAGIC, MAX_PACK_BYTES, MAX_PACK_FRAMES, PackWriter, read_frames
from tests.builders.center import Hospital, create_center, open_center, patients


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    path = tmp_path_factory.mktemp("packs") / "center"
    create_center(path)
    with open_center(path) as center:
        yield Hospital(center)


def files_of(center: Center) -> list[str]:
    return sorted(str(path) for path in (center.folder / "store").rglob("*") if path.is_file())


def frame(hospital: Hospital, body: bytes, *, codec: int = 0, data: bytes | None = None, raw: int | None = None,
          name: bytes | None = None, kind: int = 1) -> bytes:  # fmt: skip
    stored = body if data is None else data
    name = name or name_object(hospital.secrets.storage_key, ObjectKind.PAGE, body)
    return struct.pack(">B32sIIB", kind, name, len(body) if raw is None else raw, len(stored), codec) + stored


def refuse(hospital: Hospital, raw: bytes, match: str, *, name: str | None = None) -> None:
    center = hospital.center
    before = files_of(center)
    with pytest.raises(PackError, match=match) as caught:
        center.admission.put_pack(hospital.unit, hospital.source, name or pack_name([raw]), _parts(raw))
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert files_of(center) == before
    statement, objects = hospital.prepare([patients(50)])
    hospital.send(objects)
    assert hospital.submit(statement).receipt is not None


def honest(hospital: Hospital, bodies: list[bytes]) -> bytes:
    out = io.BytesIO()
    writer = PackWriter(out.write)
    for body in bodies:
        writer.add(ObjectKind.PAGE, name_object(hospital.secrets.storage_key, ObjectKind.PAGE, body), body)
    return out.getvalue()


def test_a_truncated_pack_is_refused(hospital: Hospital) -> None:
    raw = honest(hospital, [os.urandom(5000)])
    refuse(hospital, raw[:-1], "cut off")


def test_a_pack_with_another_magic_is_refused(hospital: Hospital) -> None:
    refuse(hospital, b"jinsuo/pack@v9\n" + frame(hospital, b"1\tx"), "not a pack")


def test_an_empty_pack_is_refused(hospital: Hospital) -> None:
    refuse(hospital, MAGIC, "at least one frame")


def test_an_oversized_pack_is_refused(hospital: Hospital) -> None:
    bodies = [os.urandom(3 << 20) for _ in range(6)]
    raw = MAGIC + b"".join(frame(hospital, body) for body in bodies)
    assert len(raw) > MAX_PACK_BYTES
    refuse(hospital, raw, "at most")


def test_a_pack_that_inflates_past_its_bound_is_refused(hospital: Hospital) -> None:
    body = bytes((4 << 20) - 1)
    data = zstandard.ZstdCompressor(write_content_size=True).compress(body)
    raw = MAGIC + frame(hospital, body, codec=1, data=data) * 17
    refuse(hospital, raw, "at most")


def test_a_frame_that_inflates_past_its_claim_is_refused(hospital: Hospital) -> None:
    data = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(100 << 20))
    refuse(hospital, MAGIC + frame(hospital, b"x" * len(data), codec=1, data=data), "inflate")


def test_an_object_whose_id_does_not_match_is_refused(hospital: Hospital) -> None:
    refuse(hospital, MAGIC + frame(hospital, b"1\tx", name=bytes(32)), "its bytes give")


def test_an_object_of_another_source_is_refused(hospital: Hospital) -> None:
    body = b"1\tx"
    other = name_object(bytes(32), ObjectKind.PAGE, body)
    refuse(hospital, MAGIC + frame(hospital, body, name=other), "another source")


def test_an_object_under_another_kind_is_refused(hospital: Hospital) -> None:
    refuse(hospital, MAGIC + frame(hospital, b"1\tx", kind=2), "its bytes give")


def test_a_pack_under_another_name_is_refused(hospital: Hospital) -> None:
    raw = honest(hospital, [b"1\tx"])
    refuse(hospital, raw, "name", name="ab" * 32)


def test_a_sealed_frame_is_refused_where_no_key_is(hospital: Hospital) -> None:
    refuse(hospital, MAGIC + frame(hospital, b"1\tx", codec=4, data=os.urandom(31)), "sealed")


def coded(body: bytes, base_id: ObjectId, base: bytes) -> bytes:
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return base_id + zstandard.ZstdCompressor(dict_data=prefix).compress(body)


def test_a_frame_against_a_base_that_is_not_here_is_refused(hospital: Hospital) -> None:
    body, base = b"1\tnew" * 50, b"1\told" * 50
    base_id = name_object(hospital.secrets.storage_key, ObjectKind.PAGE, base)
    refuse(hospital, MAGIC + frame(hospital, body, codec=2, data=coded(body, base_id, base)), "not stored here")


def test_a_base_that_has_itself_a_base_is_refused(hospital: Hospital) -> None:
    key = hospital.secrets.storage_key
    first, second, third = (b"%d\tversion " % i + b"x" * 300 for i in range(3))
    ids = [name_object(key, ObjectKind.PAGE, body) for body in (first, second, third)]
    put = hospital.center.admission.put_pack
    for raw in (honest(hospital, [first]), MAGIC + frame(hospital, second, codec=2, data=coded(second, ids[0], first))):
        put(hospital.unit, hospital.source, pack_name([raw]), [raw])
    refuse(hospital, MAGIC + frame(hospital, third, codec=2, data=coded(third, ids[1], second)), "no base")


def test_a_base_of_another_kind_is_refused(hospital: Hospital) -> None:
    key = hospital.secrets.storage_key
    document = b"CREATE TABLE t;" * 20
    name = name_object(key, ObjectKind.DOCUMENT, document)
    out = io.BytesIO()
    writer = PackWriter(out.write)
    writer.add(ObjectKind.DOCUMENT, name, document)
    hospital.center.admission.put_pack(hospital.unit, hospital.source, writer.name(), [out.getvalue()])
    body = b"1\tCREATE TABLE t;" * 10
    refuse(hospital, MAGIC + frame(hospital, body, codec=2, data=coded(body, name, document)), "same kind")


def test_every_byte_of_a_pack_counts(hospital: Hospital) -> None:
    raw = honest(hospital, [b"1\tx" * 30, b"2\ty" * 30])
    name = pack_name([raw])
    for position in range(0, len(raw), 3):
        bad = bytearray(raw)
        bad[position] ^= 1 << position % 8
        with pytest.raises(PackError):
            hospital.center.admission.put_pack(hospital.unit, hospital.source, name, [bytes(bad)])
    answer = hospital.center.admission.put_pack(hospital.unit, hospital.source, name, [raw])
    assert answer.new
    assert not hospital.center.admission.put_pack(hospital.unit, hospital.source, name, [raw]).new


def test_a_pack_of_another_unit_does_not_come_in_as_mine(hospital: Hospital, tmp_path: Path) -> None:
    other = Hospital(hospital.center, unit="Z900", source="lis")
    raw = honest(other, [b"9\tz"])
    refuse(hospital, raw, "another source")


def _parts(raw: bytes) -> Iterator[bytes]:
    for start in range(0, len(raw), 60_000):
        yield raw[start : start + 60_000]


def test_a_pack_of_very_many_tiny_objects_is_refused(hospital: Hospital) -> None:
    bodies = [i.to_bytes(3, "big") for i in range(MAX_PACK_FRAMES + 1)]
    refuse(hospital, honest(hospital, bodies), f"in {MAX_PACK_FRAMES} frames")


def test_the_same_pack_does_not_count_over_a_damaged_file_of_its_name(tmp_path: Path) -> None:
    """A pack that is damaged in the store, after a rebuild too, is not "here already", and its places are not taken."""
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        other = Hospital(center)
        raw = honest(other, [os.urandom(5000)])
        name = pack_name([raw])
        center.admission.put_pack(other.unit, other.source, name, [raw])
        path = center.folder / "store" / pack_path(other.unit, other.source, name)
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        with pytest.raises(StoreError, match="damaged") as caught:
            center.admission.put_pack(other.unit, other.source, name, [raw])
        assert "move the damaged file" in caught.value.hint
    rebuild(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        frames = [frame.object_id for frame in read_frames([raw])]
        assert center.admission.missing(other.unit, other.source, frames) == frames
        with pytest.raises(StoreError, match="damaged"):
            center.admission.put_pack(other.unit, other.source, name, [raw])
        assert center.admission.missing(other.unit, other.source, frames) == frames
        path.unlink()
        assert center.admission.put_pack(other.unit, other.source, name, [raw]).new
        assert center.admission.missing(other.unit, other.source, frames) == []


def test_the_same_pack_is_taken_again_where_its_file_is_gone(tmp_path: Path) -> None:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        other = Hospital(center)
        raw = honest(other, [os.urandom(5000)])
        name = pack_name([raw])
        assert center.admission.put_pack(other.unit, other.source, name, [raw]).new
        assert not center.admission.put_pack(other.unit, other.source, name, [raw]).new
        path = center.folder / "store" / pack_path(other.unit, other.source, name)
        path.unlink()
        assert center.admission.put_pack(other.unit, other.source, name, [raw]).new
        assert path.read_bytes() == raw


def rebuild(folder: Path) -> None:
    with open_center(folder) as center:
        center.catalog.close()
        rebuild_catalog(folder / CATALOG_NAME, center.store, center.ledger, center.units)
