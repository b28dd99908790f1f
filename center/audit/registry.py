# SPDX-License-Identifier: Apache-2.0
"""The audit of the registry: units and their keys, and the secrets of sources, against what the log says of them.

The folder `units/` is not in any tree, but every change of it is a leaf: a unit, a source or a key that the log does
not know was slipped in, one that only the log knows was lost. A source's secrets prove themselves: they must open, and
give the ids and roots of what is stored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from center.audit.entries import LogContent
from center.audit.findings import Findings, Thing
from center.errors import CenterError
from center.registry.units import Unit, Units
from evidence.errors import EvidenceError
from evidence.manifest.entry import parse_act
from evidence.wire.secrets import SourceSecrets

MASTER_KEY: Final = "keys/master.key"
SEALING_KEY: Final = "keys/sealing.key"


def read_units(folder: Path, units: Units, findings: Findings) -> dict[str, Unit]:
    """Give the units whose files are whole; name the others. `folder` is where they lie."""
    found: dict[str, Unit] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.is_dir():
            continue
        try:
            found[path.name] = units.get(path.name)
        except (CenterError, EvidenceError) as err:
            findings.add(Thing.UNIT, f"units/{path.name}/unit.json", err)
    return found


def read_secrets(
    units: Units, known: Mapping[str, Unit], findings: Findings, sealing_opens: bool
) -> dict[tuple[str, str], SourceSecrets]:
    """Give the secrets of all sources that open; name the others.

    If none opens, nor the sealing key (`sealing_opens`), it is the master key that is wrong.
    """
    secrets: dict[tuple[str, str], SourceSecrets] = {}
    failures: dict[str, str] = {}
    for unit in known.values():
        for source in unit.sources:
            try:
                secrets[unit.unit, source] = units.secrets(unit.unit, source)
            except (CenterError, EvidenceError) as err:
                failures[f"units/{unit.unit}/sources/{source}.json"] = str(err)
    if failures and not secrets and not sealing_opens:
        reason = f"it opens neither the sealing key nor the secrets of any of {len(failures)} sources"
        findings.add(Thing.KEY, MASTER_KEY, reason)
        return {}
    for where, reason in failures.items():
        findings.add(Thing.SOURCE, where, reason)
    return secrets


def compare_registry(content: LogContent, known: Mapping[str, Unit], findings: Findings) -> None:
    """Hold units, sources and keys against the acts of the log."""
    registered: dict[str, str] = {}
    disabled: dict[str, bool] = {}
    texts: set[str] = set()
    for index, entry, note in content.acts:
        if entry.kind not in ("unit", "key"):
            continue
        try:
            act = parse_act(note.text)
        except EvidenceError as err:
            findings.add(Thing.ENTRY, f"log@{index}", err)
            continue
        if act.event == "registration":
            registered.setdefault(act.object, act.reason)
        if act.event == "suspension":
            disabled[act.object] = act.outcome == "disabled"
        if entry.kind == "key":
            texts.update(act.reason.split(" -> "))
    present = {unit.unit for unit in known.values()}
    present |= {f"{unit.unit}/{source}" for unit in known.values() for source in unit.sources}
    for name in sorted(registered.keys() - present):
        unit, _, source = name.partition("/")
        where = f"units/{unit}/sources/{source}.json" if source else f"units/{unit}/unit.json"
        if not findings.has(where) and not findings.has(f"units/{unit}/unit.json"):
            findings.add(
                Thing.SOURCE if source else Thing.UNIT, where, f"the log registered {name}, but it is not there"
            )
    if content.has_damage:
        return
    for name in sorted(present - registered.keys()):
        unit, _, source = name.partition("/")
        where = f"units/{unit}/sources/{source}.json" if source else f"units/{unit}/unit.json"
        findings.add(Thing.SOURCE if source else Thing.UNIT, where, f"{name} is there, but the log never registered it")
    for unit_record in known.values():
        where = f"units/{unit_record.unit}/unit.json"
        if registered.get(unit_record.unit, unit_record.name) != unit_record.name:
            reason = f"it says the name {unit_record.name!r}, the log {registered[unit_record.unit]!r}"
            findings.add(Thing.UNIT, where, reason)
        if disabled.get(unit_record.unit, False) != unit_record.disabled:
            word = "disabled" if unit_record.disabled else "not disabled"
            findings.add(Thing.UNIT, where, f"it says that the unit is {word}, the log says otherwise")
        for pair in unit_record.keys:
            if pair.statement.vkey not in texts:
                findings.add(Thing.UNIT, where, f"its key {pair.statement.vkey} was never enrolled by the log")
