# SPDX-License-Identifier: Apache-2.0
"""The center's errors that an operator meets are told in Chinese too, with the same facts; `str()` stays English."""

import errno
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from center.app import Center
from center.cli.main import make_program
from center.errors import CenterError, ConflictError, FullError, HeldError, NotFoundError, ServedError
from center.receive.server import AddressError
from center.registry.seal import create_master_key, open_master_key
from center.store.folder import FolderStore, explain_os_error
from center.store.reserve import ReservedStore
from terminal.language import Language
from tests.builders.center import ORIGIN, create_center, open_center
from tests.builders.ledgers import foreign_checkpoint, make_ledger, open_ledger

_HAN = re.compile("[\u4e00-\u9fff]")


def check_told(err: CenterError, *facts: str) -> None:
    for text in (err.sentence(Language.ZH), err.advice(Language.ZH)):
        assert _HAN.search(text), text
    for text in (err.sentence(Language.EN), err.advice(Language.EN), str(err), err.hint):
        assert text, err
        assert not _HAN.search(text), text
    for fact in facts:
        assert fact in err.sentence(Language.ZH)
        assert fact in str(err)


def caught(kind: type[CenterError], act: Callable[[], object]) -> CenterError:
    with pytest.raises(kind) as found:
        act()
    return found.value


def test_a_center_that_is_not_there_or_not_empty_or_served_already(tmp_path: Path) -> None:
    folder = tmp_path / "center"
    check_told(caught(NotFoundError, lambda: Center.open(folder)), str(folder))
    Center.create(folder, ORIGIN, "127.0.0.1:0")
    check_told(caught(ConflictError, lambda: Center.create(folder, ORIGIN)), str(folder))
    with Center.open(folder) as one, Center.open(folder) as two:
        one.receiver()
        check_told(caught(ServedError, two.receiver), str(folder))
        check_told(caught(NotFoundError, lambda: one.units.get("Z999")), "Z999")


def test_an_address_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        Center.create(tmp_path / "center", ORIGIN, f"127.0.0.1:{port}")
        with Center.open(tmp_path / "center") as center:
            check_told(caught(AddressError, center.receiver), str(port))


def test_a_ledger_that_waits_or_is_held(tmp_path: Path) -> None:
    with open_ledger(make_ledger(tmp_path / "ledger", 12)) as ledger:
        ledger.require_confirmation({f"X{i}": 12 for i in range(5)})
        check_told(caught(HeldError, ledger.finish), "12", "X0, X1, X2")
        ledger.require_confirmation({"X013": 20})
        check_told(caught(HeldError, ledger.confirm), "12", "20", "X013")
        ledger.observe(foreign_checkpoint(5))
        advice = caught(HeldError, ledger.finish).advice(Language.ZH)
        assert "两个历史" in advice


def test_a_disk_that_is_full_or_refuses(tmp_path: Path) -> None:
    check_told(explain_os_error(OSError(errno.ENOSPC, "No space left"), tmp_path), str(tmp_path))
    check_told(explain_os_error(OSError(errno.EACCES, "Permission denied"), tmp_path), str(tmp_path))
    store = ReservedStore(FolderStore(tmp_path), tmp_path, 1 << 62)
    check_told(caught(FullError, lambda: store.create("packs/a")), str(1 << 62))


def test_a_wrong_passphrase(tmp_path: Path) -> None:
    create_master_key(tmp_path / "master.key", b"right")
    check_told(caught(CenterError, lambda: open_master_key(tmp_path / "master.key", b"wrong")), "master.key")


def test_the_command_prints_what_an_operator_can_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center"):
        pass
    for language, words in (("zh", "没有单位 'Z999'"), ("en", "there is no unit 'Z999'")):
        code = make_program().main(
            ["-C", str(tmp_path / "center"), "--lang", language, "unit", "show", "Z999"], environ={}
        )
        assert code == 64
        assert words in capsys.readouterr().err
