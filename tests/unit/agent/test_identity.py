# SPDX-License-Identifier: Apache-2.0
"""Who an agent is: enrolment that may be repeated, an identity that is read strictly, keys that stay."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import CenterDownError, CenterRefusedError, EnrolmentError
from agent.identity import FILE_NAME, Identity, enroll, is_enrolled, parse_address
from center.receive.tls import read_spki_sha256
from evidence.errors import FormatError
from evidence.wire.secrets import SourceSecrets
from tests.builders.receivers import LOG, OPERATOR, Running, run_receiver


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run_receiver(tmp_path_factory.mktemp("center")) as running:
        yield running


def test_an_enrolled_agent_knows_who_it_is_and_which_center_is_its(center: Running, tmp_path: Path) -> None:
    code = center.units.add("A01", "市第一人民医院").encode()
    identity, sources = enroll(tmp_path, center.url + "/", code)
    assert sources == ()
    assert Identity.open(tmp_path).address == identity.address
    address = identity.address
    assert (address.unit, address.name, address.url) == ("A01", "市第一人民医院", center.url)
    assert (address.log, address.operator) == (LOG.key, OPERATOR.key)
    assert address.pin == read_spki_sha256(center.folder / "tls" / "center.crt")
    unit = center.units.get("A01")
    assert (unit.statement_key, unit.cosigner_key) == (identity.statement.key, identity.cosigner.key)


def test_private_keys_are_for_their_owner(center: Running, tmp_path: Path) -> None:
    center.enroll(tmp_path, "A02")
    for name in ("statement.pem", "cosigner.pem"):
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600


def test_an_enrolment_whose_answer_was_lost_is_repeated(center: Running, tmp_path: Path) -> None:
    code = center.units.add("A03", "a").encode()
    first, _ = enroll(tmp_path, center.url, code)
    (tmp_path / FILE_NAME).unlink()  # as if the line had been cut before the answer arrived
    again, _ = enroll(tmp_path, center.url, code)
    assert again.statement.key == first.statement.key


def test_an_enrolled_agent_is_not_enrolled_again(center: Running, tmp_path: Path) -> None:
    center.enroll(tmp_path, "A04")
    with pytest.raises(EnrolmentError, match="already, as unit A04"):
        enroll(tmp_path, center.url, center.units.add("A05", "a").encode())


def test_an_agent_enrolled_anew_hears_which_sources_its_unit_has(center: Running, tmp_path: Path) -> None:
    secrets = SourceSecrets(bytes(range(32)), bytes(32))
    with center.enroll(tmp_path / "old", "A06").connect(lambda: None) as transport:
        transport.deposit("his", secrets)
    identity, sources = enroll(tmp_path / "new", center.url, center.units.rekey("A06").encode())
    assert sources == ("his",)
    with identity.connect(lambda: None) as transport:
        assert transport.recover("his") == secrets
    with Identity.open(tmp_path / "old").connect(lambda: None) as transport, pytest.raises(CenterRefusedError):
        transport.recover("his")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:1",
        "http://127.0.0.1:1",
        "https://",
        "https://a:0",
        "https://a:x",
        "https://u@a",
        "https://a/path",
    ],
)
def test_an_address_that_is_none_is_refused(tmp_path: Path, center: Running, url: str) -> None:
    code = center.units.rekey("A07").encode() if _known(center, "A07") else center.units.add("A07", "a").encode()
    with pytest.raises(EnrolmentError, match="is not one of a center"):
        enroll(tmp_path, url, code)


def _known(center: Running, unit: str) -> bool:
    return unit in [known.unit for known in center.units.list()]


def test_a_center_that_does_not_answer_leaves_the_code_good(center: Running, tmp_path: Path) -> None:
    code = center.units.add("A08", "a").encode()
    with pytest.raises(CenterDownError):
        enroll(tmp_path, "https://127.0.0.1:1", code)
    assert not is_enrolled(tmp_path)
    enroll(tmp_path, center.url, code)


def test_a_folder_without_an_identity_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(EnrolmentError, match="not enrolled") as caught:
        Identity.open(tmp_path)
    assert "jinsuo-agent enroll" in caught.value.hint


def test_an_identity_has_one_encoding(center: Running, tmp_path: Path) -> None:
    address = center.enroll(tmp_path, "A09").address
    raw = (tmp_path / FILE_NAME).read_bytes()
    assert parse_address(raw) == address
    assert address.encode() == raw
    for length in range(len(raw)):
        with pytest.raises(FormatError):
            parse_address(raw[:length])
    other = replace(address, unit="A10")
    assert parse_address(other.encode()) == other
    with pytest.raises(FormatError, match="origin"):
        parse_address(raw.replace(b'"origin":"center', b'"origin":"kenter'))


def test_a_damaged_identity_says_so(center: Running, tmp_path: Path) -> None:
    center.enroll(tmp_path, "A11")
    key = tmp_path / "keys" / "statement.pem"
    for path in (key, tmp_path / FILE_NAME):
        path.write_bytes(b"damaged")
        with pytest.raises(EnrolmentError, match="is damaged"):
            Identity.open(tmp_path)
