# SPDX-License-Identifier: Apache-2.0
"""The road over HTTPS, against the real receiver on loopback, and what only this road has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import CenterDownError, SpoolError
from center.receive.tls import renew_tls
from tests.builders.receivers import NOW, run_receiver, statement_note
from tests.contract.transports import SECRETS, Road, TransportContract


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        center.units.register_source("X013", "his", SECRETS)
        with identity.connect(lambda: None) as transport:
            yield Road(center, identity, identity.connect, transport, tmp_path / "agent")


class TestHttps(TransportContract):
    """Everything that every road must do."""

    def test_a_pack_that_vanished_from_the_spool_is_told_as_that(self, road: Road) -> None:
        name, path = road.write_pack()
        path.unlink()
        with pytest.raises(SpoolError, match=name):
            road.transport.put_pack("his", name, path)


def test_the_road_goes_on_when_the_center_was_started_anew(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "center") as center:
        identity = center.enroll(tmp_path / "agent")
        center.units.register_source("X013", "his", SECRETS)
        transport = identity.connect(lambda: None)
        transport.submit("his", statement_note(identity, "his"))
        port = center.port
    with pytest.raises(CenterDownError, match="does not answer"):
        transport.latest("his")
    renew_tls(tmp_path / "center" / "tls", "renamed.example", NOW)
    # Another certificate with the same key, nonces of another process: the old transport finds its way.
    with run_receiver(tmp_path / "center", port):
        assert transport.submit("his", statement_note(identity, "his", 2)).receipt is not None
    transport.close()


def test_a_clock_of_the_agent_that_is_off_by_years_does_not_matter(tmp_path: Path) -> None:
    # The receiver's certificate begins in 2026-11; whatever this machine's clock says, only the pin is looked at. The
    # center's own clock here stands in 2026-11 too, while the agent never reads any.
    with run_receiver(tmp_path / "center") as center:
        center.clock.now = center.clock.now.replace(year=2050)
        identity = center.enroll(tmp_path / "agent")
        center.clock.now = center.clock.now.replace(year=2051)
        with identity.connect(lambda: None) as transport:
            assert transport.latest("his") is None
