# SPDX-License-Identifier: Apache-2.0
"""The catalog is caught up from the log: whatever cuts that, it ends as one that is made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from center.errors import FullError
from center.registry.catalog import Catalog
from center.registry.catalog_file import CatalogFile
from center.registry.replay import FLAG_GIVEN_UP, Replay
from evidence.manifest.entry import Level
from evidence.manifest.statement import GapCause, GapStatement
from tests.builders.center import NOW, Hospital, create_center, open_center, patients


class CutCatalog(Catalog):
    """A catalog that can be written `room` times more; then there is no space left, as where a process is killed."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path)
        self.file.close()
        self.file = CutFile(path, room)


class CutFile(CatalogFile):
    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path)
        self._room = room

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        if self._room == 0:
            raise FullError("no space left", hint="none")
        self._room -= 1
        with super().writing() as connection:
            yield connection


@pytest.mark.parametrize("room", range(4))
def test_gap_that_gives_content_up_is_taken_in_whole_or_not_at_all(tmp_path: Path, room: int) -> None:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        hospital = Hospital(center)
        hospital.snapshot(patients(9), send=False, register_only=True)
        given_up = hospital.previous
        assert given_up is not None
        gap = GapStatement("X013", "his", 2, given_up, NOW, NOW, GapCause.SPOOL, "the day between", (given_up,))
        center.ledger.append("statement", Level.NONE, hospital.sign(gap))
        Catalog.create(tmp_path / "cut.sqlite").close()
        cut = CutCatalog(tmp_path / "cut.sqlite", room)
        try:
            Replay(cut, center.ledger, center.store, center.units).catch_up()
        except FullError:
            pass
        finally:
            cut.close()
        with Catalog(tmp_path / "cut.sqlite") as catalog:
            Replay(catalog, center.ledger, center.store, center.units).catch_up()
            assert FLAG_GIVEN_UP in catalog.statement("X013", "his", 1).flags
