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
from terminal.errors import words_of
from terminal.language import Text

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
        except (CenterError, EvidenceError, OSError) as err:
            findings.add(Thing.UNIT, f"units/{path.name}/unit.json", err)
    return found


def read_secrets(
    units: Units, known: Mapping[str, Unit], findings: Findings, sealing_opens: bool
) -> dict[tuple[str, str], SourceSecrets]:
    """Give the secrets of all sources that open; name the others.

    If none opens, nor the sealing key (`sealing_opens`), it is the master key that is wrong.
    """
    secrets: dict[tuple[str, str], SourceSecrets] = {}
    failures: dict[str, Text] = {}
    for unit in known.values():
        for source in unit.sources:
            try:
                secrets[unit.unit, source] = units.secrets(unit.unit, source)
            except (CenterError, EvidenceError, OSError) as err:
                failures[f"units/{unit.unit}/sources/{source}.json"] = words_of(err)
    if failures and not secrets and not sealing_opens:
        why = Text(
            zh=f"它打不开封装密钥，也打不开 {len(failures)} 个来源中任何一个的秘密",
            en=f"it opens neither the sealing key nor the secrets of any of {len(failures)} sources",
        )
        findings.add(Thing.KEY, MASTER_KEY, why)
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
                Thing.SOURCE if source else Thing.UNIT,
                where,
                Text(zh=f"日志登记过 {name}，这里却没有", en=f"the log registered {name}, but it is not there"),
            )
    if content.has_damage:
        return
    for name in sorted(present - registered.keys()):
        unit, _, source = name.partition("/")
        where = f"units/{unit}/sources/{source}.json" if source else f"units/{unit}/unit.json"
        findings.add(
            Thing.SOURCE if source else Thing.UNIT,
            where,
            Text(zh=f"这里有 {name}，日志却没有登记过", en=f"{name} is there, but the log never registered it"),
        )
    for unit_record in known.values():
        where = f"units/{unit_record.unit}/unit.json"
        if registered.get(unit_record.unit, unit_record.name) != unit_record.name:
            reason = Text(
                zh=f"它写的名称是 {unit_record.name!r}，日志是 {registered[unit_record.unit]!r}",
                en=f"it says the name {unit_record.name!r}, the log {registered[unit_record.unit]!r}",
            )
            findings.add(Thing.UNIT, where, reason)
        if disabled.get(unit_record.unit, False) != unit_record.disabled:
            zh, en = ("已停用", "disabled") if unit_record.disabled else ("没有停用", "not disabled")
            why = Text(zh=f"它说该单位{zh}，日志说的相反", en=f"it says that the unit is {en}, the log says otherwise")
            findings.add(Thing.UNIT, where, why)
        for pair in unit_record.keys:
            if pair.statement.vkey not in texts:
                findings.add(
                    Thing.UNIT,
                    where,
                    Text(
                        zh=f"日志从未登记过它的密钥 {pair.statement.vkey}",
                        en=f"its key {pair.statement.vkey} was never enrolled by the log",
                    ),
                )
