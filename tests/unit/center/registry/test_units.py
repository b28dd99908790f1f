# SPDX-License-Identifier: Apache-2.0
"""The registry: units, codes that work once, keys that are logged before they count, secrets that are wrapped."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from center.errors import CenterError, ConflictError, ForbiddenError, HeldError, NotFoundError, RefusedError, StoreError
from center.registry.seal import MasterKey
from center.registry.unitfile import parse_source, parse_unit
from center.registry.units import Units
from evidence.errors import FormatError
from evidence.manifest.entry import Act
from evidence.wire.enrolment import pin_of_vkey
from evidence.wire.secrets import SourceSecrets
from tests.builders.receivers import LOG, MovableClock, make_units

KEYS = (b"\1" * 32, b"\2" * 32)
OTHER_KEYS = (b"\3" * 32, b"\4" * 32)
SECRETS = SourceSecrets(bytes(range(32)), bytes(32))


@dataclass
class Record:
    """Keeps acts, or refuses them."""

    acts: list[tuple[str, Act]] = field(default_factory=list)
    error: CenterError | None = None

    def __call__(self, kind: str, act: Act) -> None:
        if self.error is not None:
            raise self.error
        self.acts.append((kind, act))


@dataclass
class Registry:
    """A registry and what it is made of."""

    units: Units
    clock: MovableClock
    record: Record
    folder: Path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    clock, record = MovableClock(), Record()
    return Registry(make_units(tmp_path / "units", clock, record), clock, record, tmp_path / "units")


def enrolled(registry: Registry, unit: str = "X013", keys: tuple[bytes, bytes] = KEYS) -> None:
    registry.units.enroll(registry.units.add(unit, "市第一人民医院").secret, *keys)


def test_a_new_unit_gets_a_code_for_this_center(registry: Registry) -> None:
    code = registry.units.add("X013", "市第一人民医院")
    assert (code.spki_pin, code.vkey_pin) == (bytes(16), pin_of_vkey(LOG.key.vkey))
    unit = registry.units.get("X013")
    assert (unit.name, unit.statement_key, unit.disabled, unit.sources) == ("市第一人民医院", None, False, ())


def test_an_enrolled_unit_has_the_keys_under_its_name(registry: Registry) -> None:
    enrolled(registry)
    unit = registry.units.get("X013")
    assert unit.statement_key is not None
    assert unit.cosigner_key is not None
    assert (unit.statement_key.name, unit.statement_key.public) == ("X013", KEYS[0])
    assert (unit.cosigner_key.name, unit.cosigner_key.public) == ("X013", KEYS[1])
    assert unit.enrolled_at == registry.clock.now


def test_every_change_is_logged(registry: Registry) -> None:
    enrolled(registry)
    registry.units.register_source("X013", "his", SECRETS)
    registry.units.disable("X013", reason="合同终止")
    registry.units.enable("X013")
    assert [(kind, act.event, act.object, act.outcome) for kind, act in registry.record.acts] == [
        ("unit", "registration", "X013", "added"),
        ("key", "enrolment", "X013", "enrolled"),
        ("unit", "registration", "X013/his", "added"),
        ("unit", "suspension", "X013", "disabled"),
        ("unit", "suspension", "X013", "enabled"),
    ]


def test_what_cannot_be_logged_does_not_happen(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    registry.record.error = HeldError("the ledger does not sign", hint="look")
    with pytest.raises(HeldError):
        registry.units.enroll(code.secret, *KEYS)
    assert registry.units.get("X013").statement_key is None
    with pytest.raises(HeldError):
        registry.units.add("X014", "b")
    with pytest.raises(HeldError):
        registry.units.register_source("X013", "his", SECRETS)
    with pytest.raises(HeldError):
        registry.units.disable("X013")
    assert [unit.unit for unit in registry.units.list()] == ["X013"]
    assert registry.units.get("X013").sources == ()
    registry.record.error = None
    registry.units.enroll(code.secret, *KEYS)
    assert registry.units.get("X013").statement_key is not None


def test_a_code_works_once(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    registry.units.enroll(code.secret, *KEYS)
    with pytest.raises(ForbiddenError, match="works once"):
        registry.units.enroll(code.secret, *OTHER_KEYS)


def test_the_same_agent_asking_again_gets_the_same_answer(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    first = registry.units.enroll(code.secret, *KEYS)
    registry.clock.now += timedelta(days=30)
    assert registry.units.enroll(code.secret, *KEYS) == first
    assert len(registry.record.acts) == 2


def test_a_disabled_unit_is_not_given_the_answer_again(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    registry.units.enroll(code.secret, *KEYS)
    registry.units.disable("X013")
    with pytest.raises(ForbiddenError, match="disabled"):
        registry.units.enroll(code.secret, *KEYS)


def test_a_code_ends_after_fourteen_days(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    registry.clock.now += timedelta(days=14)
    with pytest.raises(ForbiddenError, match="ended on 2026-12-06") as caught:
        registry.units.enroll(code.secret, *KEYS)
    assert "rekey" in caught.value.hint
    registry.clock.now -= timedelta(seconds=1)
    registry.units.enroll(code.secret, *KEYS)


def test_a_wrong_code_is_refused(registry: Registry) -> None:
    registry.units.add("X013", "a")
    with pytest.raises(ForbiddenError, match="no unit of this center"):
        registry.units.enroll(bytes(16), *KEYS)


def test_the_secret_of_a_code_is_nowhere_in_the_folder(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    text = (registry.folder / "X013" / "unit.json").read_bytes()
    assert code.secret not in text
    assert code.secret.hex().encode() not in text


def test_a_new_code_makes_the_old_one_void(registry: Registry) -> None:
    old = registry.units.add("X013", "a")
    new = registry.units.rekey("X013")
    with pytest.raises(ForbiddenError, match="newer one replaced it"):
        registry.units.enroll(old.secret, *KEYS)
    registry.units.enroll(new.secret, *KEYS)


def test_new_keys_continue_and_the_change_is_logged_as_unattested(registry: Registry) -> None:
    enrolled(registry)
    before = registry.units.get("X013").statement_key
    code = registry.units.rekey("X013")
    assert registry.units.get("X013").statement_key == before
    registry.clock.now += timedelta(days=1)
    registry.units.enroll(code.secret, *OTHER_KEYS)
    unit = registry.units.get("X013")
    assert unit.statement_key is not None
    assert before is not None
    assert unit.statement_key.public == OTHER_KEYS[0]
    assert [pair.statement.public for pair in unit.keys] == [KEYS[0], OTHER_KEYS[0]]
    kind, act = registry.record.acts[-1]
    assert (kind, act.outcome, act.reason) == ("key", "unattested", f"{before.vkey} -> {unit.statement_key.vkey}")


def test_a_disabled_unit_gets_no_new_code(registry: Registry) -> None:
    enrolled(registry)
    registry.units.disable("X013")
    with pytest.raises(RefusedError, match="disabled"):
        registry.units.rekey("X013")


@pytest.mark.parametrize("keys", [KEYS, (KEYS[1], OTHER_KEYS[1]), (OTHER_KEYS[0], OTHER_KEYS[0])])
def test_no_key_is_enrolled_twice(registry: Registry, keys: tuple[bytes, bytes]) -> None:
    enrolled(registry)
    code = registry.units.add("X014", "b")
    with pytest.raises(ConflictError, match="in use already"):
        registry.units.enroll(code.secret, *keys)


@pytest.mark.parametrize("name", ["", ".", "..", "-", "-x", ".x", "a/b", "a b", "医院", "x" * 65, "a\n"])
def test_a_name_that_could_be_a_path_or_an_option_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RefusedError, match="cannot name a unit"):
        registry.units.add(name, "a")
    enrolled(registry)
    with pytest.raises(RefusedError, match="cannot name a source"):
        registry.units.register_source("X013", name, SECRETS)
    with pytest.raises(NotFoundError):
        registry.units.get(name)
    with pytest.raises(NotFoundError):
        registry.units.secrets("X013", name)


def test_names_that_differ_in_case_only_are_one(registry: Registry) -> None:
    enrolled(registry)
    with pytest.raises(ConflictError, match="X013"):
        registry.units.add("x013", "b")
    registry.units.register_source("X013", "his", SECRETS)
    with pytest.raises(ConflictError):
        registry.units.register_source("X013", "HIS", SECRETS)


def test_the_name_of_a_unit_is_one_line(registry: Registry) -> None:
    with pytest.raises(RefusedError, match="line breaks"):
        registry.units.add("X013", "a\nb")


def test_secrets_of_a_source_come_back_and_are_wrapped_on_disk(registry: Registry) -> None:
    enrolled(registry)
    assert registry.units.register_source("X013", "his", SECRETS)
    assert not registry.units.register_source("X013", "his", SECRETS)
    again = make_units(registry.folder, registry.clock)
    assert again.secrets("X013", "his") == SECRETS
    assert again.get("X013").sources == ("his",)
    raw = (registry.folder / "X013" / "sources" / "his.json").read_bytes()
    assert SECRETS.row_secret not in parse_source(raw).wrapped


def test_other_secrets_for_a_source_are_refused(registry: Registry) -> None:
    enrolled(registry)
    registry.units.register_source("X013", "his", SECRETS)
    with pytest.raises(ConflictError, match="those sent are others"):
        registry.units.register_source("X013", "his", SourceSecrets(bytes(32), bytes(32)))
    assert registry.units.secrets("X013", "his") == SECRETS


def test_secrets_put_in_another_source_s_place_do_not_open(registry: Registry) -> None:
    enrolled(registry)
    registry.units.register_source("X013", "his", SECRETS)
    registry.units.register_source("X013", "lis", SourceSecrets(bytes(32), bytes(32)))
    folder = registry.folder / "X013" / "sources"
    (folder / "lis.json").write_bytes((folder / "his.json").read_bytes().replace(b'"his"', b'"lis"'))
    with pytest.raises(StoreError, match="does not open"):
        make_units(registry.folder, registry.clock).secrets("X013", "lis")
    (folder / "lis.json").write_bytes((folder / "his.json").read_bytes())
    with pytest.raises(StoreError, match="is the record of X013/his"):
        make_units(registry.folder, registry.clock).secrets("X013", "lis")


def test_another_master_key_does_not_open_secrets(registry: Registry) -> None:
    enrolled(registry)
    registry.units.register_source("X013", "his", SECRETS)
    with pytest.raises(StoreError, match="master key"):
        make_units(registry.folder, registry.clock, master=MasterKey(b"\1" * 32)).secrets("X013", "his")


def test_a_running_registry_sees_what_another_process_changed(registry: Registry) -> None:
    enrolled(registry)
    other = make_units(registry.folder, registry.clock)
    other.disable("X013")
    assert registry.units.get("X013").disabled
    code = other.add("X014", "b")
    assert registry.units.enroll(code.secret, *OTHER_KEYS).unit == "X014"
    assert other.get("X014").statement_key is not None


def test_changes_of_two_processes_do_not_undo_each_other(registry: Registry) -> None:
    code = registry.units.add("X013", "a")
    other = make_units(registry.folder, registry.clock)
    other.get("X013")
    registry.units.enroll(code.secret, *KEYS)
    other.disable("X013")
    unit = registry.units.get("X013")
    assert unit.disabled
    assert unit.statement_key is not None


def test_the_largest_acknowledged_checkpoint_is_durable_at_once(registry: Registry) -> None:
    enrolled(registry)
    assert registry.units.get("X013").last_checkpoint_size is None
    for size, largest in [(5, 5), (6, 6), (3, 6), (6, 6), (40, 40)]:
        registry.units.acknowledge("X013", size)
        assert registry.units.get("X013").last_checkpoint_size == largest
        assert make_units(registry.folder, registry.clock).get("X013").last_checkpoint_size == largest
    opened_anew = make_units(registry.folder, registry.clock)
    opened_anew.acknowledge("X013", 39)
    assert opened_anew.get("X013").last_checkpoint_size == 40


def test_an_agent_that_is_enrolled_anew_has_acknowledged_nothing(registry: Registry) -> None:
    enrolled(registry)
    registry.units.acknowledge("X013", 40)
    registry.units.enroll(registry.units.rekey("X013").secret, b"\3" * 32, b"\4" * 32)
    assert registry.units.get("X013").last_checkpoint_size is None
    registry.units.acknowledge("X013", 7)
    assert make_units(registry.folder, registry.clock).get("X013").last_checkpoint_size == 7


@pytest.mark.parametrize("mark", [b"", b"40", b"40\n", b"-1 00000000\n", b"x\n", b"99999999999999999 00000000\n"])
def test_a_mark_that_is_none_counts_as_none(registry: Registry, mark: bytes) -> None:
    enrolled(registry)
    (registry.folder / "X013" / "seen").write_bytes(mark)
    units = make_units(registry.folder, registry.clock)
    assert units.get("X013").last_checkpoint_size is None
    units.acknowledge("X013", 2)
    assert units.get("X013").last_checkpoint_size == 2


def test_a_damaged_record_is_named(registry: Registry) -> None:
    enrolled(registry)
    path = registry.folder / "X013" / "unit.json"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"unit\.json is damaged"):
        registry.units.get("X013")


def test_records_have_one_encoding(registry: Registry) -> None:
    enrolled(registry)
    registry.units.register_source("X013", "his", SECRETS)
    raw = (registry.folder / "X013" / "unit.json").read_bytes()
    assert parse_unit(raw).encode() == raw
    source = (registry.folder / "X013" / "sources" / "his.json").read_bytes()
    assert parse_source(source).encode() == source
    for length in range(0, len(raw), 3):
        with pytest.raises(FormatError):
            parse_unit(raw[:length])


def test_what_a_crash_left_half_written_is_swept_and_does_not_count(registry: Registry) -> None:
    enrolled(registry)
    debris = registry.folder / "X013" / ".unit.json.1.aa.tmp"
    debris.write_bytes(b"{")
    (registry.folder / "X015").mkdir()
    again = make_units(registry.folder, registry.clock)
    assert [unit.unit for unit in again.list()] == ["X013"]
    again.disable("X013")
    assert not debris.exists()
    again.add("X015", "c")


def test_an_unknown_unit_is_not_found(registry: Registry) -> None:
    for act in (registry.units.get, registry.units.disable, registry.units.rekey):
        with pytest.raises(NotFoundError, match="X999"):
            act("X999")


def test_a_code_that_lasts_no_time_is_refused(registry: Registry) -> None:
    with pytest.raises(RefusedError, match="cannot last"):
        registry.units.add("X013", "a", lifetime=timedelta(0))
