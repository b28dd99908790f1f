# SPDX-License-Identifier: Apache-2.0
"""What the receiver logs of requests: refusals are worth a line, ordinary answers are not."""

import logging
from pathlib import Path

import pytest

from agent.errors import CenterRefusedError
from evidence.digest import ObjectId
from tests.builders.receivers import run_receiver

API = "center.receive.api"


def test_what_every_new_source_asks_first_is_no_refusal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, API)
    with run_receiver(tmp_path / "center") as center, center.enroll(tmp_path / "agent").connect(lambda: None) as road:
        assert road.latest("new") is None
        assert road.recover("new") is None
        assert _said(caplog) == []
        with pytest.raises(CenterRefusedError):
            road.missing("new", [ObjectId(bytes(32))])
    (record,) = _said(caplog)
    assert (record.message, record.__dict__["code"], record.__dict__["path"]) == (
        "request refused",
        "JS-3106",
        "/v1/missing",
    )


def _said(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Give what was said of requests: others in this process may say something, too."""
    return [record for record in caplog.records if record.name == API]
