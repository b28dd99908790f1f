# SPDX-License-Identifier: Apache-2.0
"""What a pack brings is asked of the catalog in a few questions, however many objects it has."""

import io
from pathlib import Path

import pytest

from center.registry.catalog import Catalog
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import PackWriter
from tests.builders.center import PATIENT, Hospital, create_center, open_center, patients

ROWS = 6_000


def test_the_bases_and_children_of_a_whole_pack_are_looked_up_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_center(tmp_path / "center")
    with open_center(tmp_path / "center") as center:
        hospital = Hospital(center)
        hospital.snapshot(patients(ROWS))
        statement, objects = hospital.prepare([patients(ROWS, dict.fromkeys(range(1, ROWS, 50), "改过的病历"))])
        absent = set(center.admission.missing(hospital.unit, hospital.source, list(objects.bodies)))
        schema = name_object(hospital.secrets.storage_key, ObjectKind.DOCUMENT, PATIENT.encode())
        raw = io.BytesIO()
        pack = PackWriter(raw.write)
        bases = 0
        for name, (kind, body) in objects.bodies.items():
            if name in absent or name == schema:  # an agent writes the schema before the pages of each pack
                base = hospital.bases["patient"].get(objects.hints[name][1]) if name in objects.hints else None
                pack.add(kind, name, body, base)
                bases += base is not None
        assert bases > 20, "few pages changed: nothing is shown"
        asked: list[str] = []
        for method in ("find_places", "find_facts"):
            monkeypatch.setattr(Catalog, method, _counted(getattr(Catalog, method), asked))
        center.admission.put_pack(hospital.unit, hospital.source, pack.name(), [raw.getvalue()])
        brought = len(asked)
        assert brought <= 6, f"{brought} questions"
        assert hospital.submit(statement).receipt is not None
        assert len(asked) - brought <= 12, "the pages and nodes were not judged when their pack came"


def _counted(act, asked):  # type: ignore[no-untyped-def]  # any method
    def counted(self, *args):  # type: ignore[no-untyped-def]  # hands on what it gets
        asked.append(act.__name__)
        return act(self, *args)

    return counted
