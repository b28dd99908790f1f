# SPDX-License-Identifier: Apache-2.0
"""Which unit the settings of a center ask for."""

from pathlib import Path, PurePosixPath

import pytest

from center.config import CenterConfig
from center.service.systemd import plan_unit
from terminal.service.unit import Unit
from terminal.settings import parse_settings

FOLDER = Path("/var/lib/jinsuo-center")


def plan(settings: str) -> Unit:
    document = f"origin: archives.example/unit\n{settings}\n"
    return plan_unit(FOLDER, parse_settings(document.encode(), "center.yaml", CenterConfig), None)


def test_plain_center_writes_nothing_but_its_folder() -> None:
    unit = plan("")
    assert (unit.owned, unit.writable) == ((PurePosixPath(FOLDER),), ())


def test_store_elsewhere_is_the_accounts_own() -> None:
    assert plan("folders: {store: /mnt/store}").also_own == (PurePosixPath("/mnt/store"),)


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ("inboxes: {boxes: [{folder: /srv/drop/out, receipts: /srv/drop/in}]}", ["/srv/drop/out", "/srv/drop/in"]),
        ("inboxes: {boxes: [{folder: drop/out, receipts: drop/in}]}", []),
        ("log: {file: /var/log/jinsuo/center.log}", ["/var/log/jinsuo"]),
        ("log: {file: logs/center.log}", []),
    ],
)
def test_what_the_daemon_writes_elsewhere_is_open_to_it(settings: str, written: list[str]) -> None:
    unit = plan(settings)
    # What lies in the folder need not be named; naming it opens nothing.
    assert [str(path) for path in unit.writable if not path.is_relative_to(unit.folder)] == written
