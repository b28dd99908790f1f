# SPDX-License-Identifier: Apache-2.0
"""The documents say what is there: links lead somewhere, tests and commands exist, formats and examples are the code's."""

import configparser
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.cli.main import make_program as make_agent_program
from agent.collectors.mysql import connect as mysql_connect
from agent.collectors.postgresql import connect
from center.cli.main import make_program as make_center_program
from evidence.digest import EMPTY_ROOT, leaf_hash, sha256
from evidence.keys.key import KeyType
from evidence.keys.signer import Ed25519Signer
from evidence.manifest.entry import Entry, Level
from evidence.manifest.statement import parse_statement, statement_digest
from evidence.note.signed import parse_note, sign_note
from evidence.objects.blobs import encode_chunk_list
from evidence.objects.object import ObjectKind, name_object
from evidence.objects.pack import PackWriter
from evidence.rows.values import Kind
from evidence.tree.nodes import Entry as NodeEntry
from evidence.tree.nodes import encode_node
from evidence.verify.policy import parse_policy
from evidence.wire.enrolment import EnrolmentCode
from tests.fakes.agent import NOW, FakeAgent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
PACKAGES = ("agent", "center", "evidence", "terminal")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _links(text: str) -> Iterator[str]:
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken: list[str] = []
    for link in _links(_read(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in _anchors(_read(target))):
            broken.append(link)
    assert broken == []


def _threats() -> list[list[str]]:
    """Give the cells of each row of each table of threats."""
    rows = [line for line in _read(DOCS / "threats.md").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [row for row in cells if row[0] != "Who and how"]


def test_every_threat_has_four_columns_and_names_a_test_that_exists() -> None:
    threats = _threats()
    assert len(threats) > 40
    for row in threats:
        assert len(row) == 4, row
        named = re.findall(r"\[(\w+)\]\(\.\./(tests/[\w/]+\.py)\)", row[3])
        assert named, row[0]
        for name, path in named:
            assert (ROOT / path).is_file(), path
            assert Path(path).stem == name
            assert re.search(r"^\s*def test_|import .*Contract", _read(ROOT / path), re.MULTILINE), path


def test_every_attack_test_stands_in_the_threats() -> None:
    text = _read(DOCS / "threats.md")
    assert [p.name for p in sorted((ROOT / "tests" / "attacks").glob("test_*.py")) if p.stem not in text] == []


@pytest.mark.parametrize(
    "name", ["README.md", "README.zh-CN.md", "CHANGELOG.md", "docs/operate.md", "docs/operate.zh-CN.md"]
)
def test_scripts_and_commands_that_a_page_names_exist(name: str) -> None:
    known = {
        "jinsuo-agent": {c.name for c in make_agent_program(FakeAgent().open, lambda: NOW).commands},
        "jinsuo-center": {c.name for c in make_center_program().commands},
        "jinsuo-verify": {"receipt", "table-root"},
    }
    text = _read(ROOT / name)
    for script in re.findall(r"\bscript/([a-z]+)", text):
        path = ROOT / "script" / script
        assert path.is_file() and path.stat().st_mode & 0o111, script
    called = re.findall(r"(jinsuo-(?:agent|center|verify)) ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?(\.\w)?", text)
    for program, first, second, rest in called:
        is_file = program == "jinsuo-verify" and rest
        assert is_file or {first, f"{first} {second}"} & known[program], f"{program} {first} {second}"


def test_both_readmes_lead_to_the_same_places_and_tell_the_same_status() -> None:
    english, chinese = _read(ROOT / "README.md"), _read(ROOT / "README.zh-CN.md")
    assert set(_links(english)) - {"README.zh-CN.md"} == set(_links(chinese)) - {"README.md"}
    for pattern in (r"^\| ", r"^## ", r"^\d\. ", r"^script/"):
        found = [len(re.findall(pattern, text, re.MULTILINE)) for text in (english, chinese)]
        assert found[0] == found[1] > 0, pattern


def test_decisions_are_numbered_without_gaps_and_say_all_four_things() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for page in DECISIONS:
        text = _read(page)
        assert text.startswith(f"# {page.name[:4]} "), page.name
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Reason", "Consequence"], page.name


def test_dependencies_are_those_of_the_setup() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    lines = [setup["options"]["install_requires"], *(extras[n] for n in ("operator", "agent", "postgresql", "center"))]
    wanted = set(re.findall(r"^([\w-]+) >= ([\d.]+)$", "\n".join(lines), re.MULTILINE))
    page = _read(next(page for page in DECISIONS if page.stem.endswith("dependencies")))
    rows = [row.split("|") for row in page.splitlines() if row.startswith("| ")]
    told = {pair for row in rows for pair in zip(_items(row[1]), _items(row[2]), strict=True)}
    assert {(n.lower(), v) for n, v in wanted} <= {(n.lower(), v) for n, v in told}


def _items(cell: str) -> list[str]:
    return [item.strip() for item in cell.split(",")]


# The authority for the bytes


def test_every_format_that_the_code_names_stands_in_the_authority() -> None:
    page = _read(DOCS / "format.md")
    named: set[str] = set()
    for package in ("agent", "center", "evidence"):
        for path in (ROOT / package).rglob("*.py"):
            named |= set(re.findall(r"jinsuo/[a-z-]+@v[0-9]+", _read(path)))
    assert len(named) > 20
    assert sorted(name for name in named if name not in page) == []


def test_every_kind_of_value_and_every_pinned_setting_stands_in_the_authority() -> None:
    page = _read(DOCS / "format.md")
    assert [kind for kind in Kind if f"`{kind}`" not in page] == []
    assert [name for name in connect._PINNED if f"{name}=" not in page] == []
    named = re.findall(r"(\w+) = ", " ".join(mysql_connect._PINNED))
    assert len(named) > 5
    assert [name for name in named if f"{name}=" not in page] == []


def test_every_way_that_the_receiver_knows_stands_in_the_authority() -> None:
    page = _read(DOCS / "format.md")
    routes = re.findall(r'Route\("([A-Z]+)", at\(f?"([^"]+)"\)', _read(ROOT / "center" / "receive" / "api.py"))
    assert len(routes) > 10
    for method, pattern in routes:
        fixed = re.split(r"[({]", pattern)[0]
        assert f"`{method} /v1/{fixed}" in page, (method, pattern)


def _worked() -> dict[str, str]:
    """Give the worked examples: what stands above each indented value."""
    block = _read(DOCS / "format.md").partition("## 14.")[2].split("```")[1]
    return {what.strip(): value.strip() for what, value in re.findall(r"^(\S.*)\n    (\S+)$", block, re.MULTILINE)}


def _worked_note() -> bytes:
    return _read(DOCS / "format.md").partition("## 14.")[2].split("```")[3].lstrip("\n").encode()


def test_worked_bytes_are_what_the_code_writes() -> None:
    key = bytes(range(32))
    unit = Ed25519Signer.from_seed("X013/his", KeyType.ED25519, bytes(range(64, 96)))
    page = b"1\ta\n2\tb"
    name = name_object(key, ObjectKind.PAGE, page)
    pack = bytearray()
    writer = PackWriter(pack.extend)
    writer.add(ObjectKind.PAGE, name, page)
    note = _worked_note()
    entry = Entry("statement", Level.STORED, datetime(2026, 11, 22, 1, 12, 33, 120_000, UTC), note)

    assert list(_worked().values()) == [
        EnrolmentCode(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48))).encode(),
        name.hex(),
        pack.hex(),
        writer.name(),
        encode_chunk_list(0, [(5, name)]).hex(),
        encode_node(0, [NodeEntry(2, 2, EMPTY_ROOT, name, b"1")]).hex(),
        unit.key.vkey,
        statement_digest(parse_note(note).text).hex(),
        leaf_hash(entry.encode()).hex(),
    ]


def test_worked_statement_is_one_and_is_signed_by_its_key() -> None:
    note = parse_note(_worked_note())
    unit = Ed25519Signer.from_seed("X013/his", KeyType.ED25519, bytes(range(64, 96)))
    statement = parse_statement(note.text)
    assert statement.encode() == note.text
    assert sign_note(note.text, [unit]) == note
    assert f"manifest-sha256 {sha256(b'').hex()}".encode() in note.text


# Examples of settings


def test_example_of_a_policy_can_be_read_and_has_every_kind_of_line() -> None:
    raw = (ROOT / "config" / "trust.example.policy").read_bytes()
    policy = parse_policy(raw)
    assert all((policy.logs, policy.operators, policy.witnesses, policy.groups, policy.units, policy.roots))
    assert policy.root_hashes and policy.quorum == policy.groups[-1].name
    assert any(unit.since for unit in policy.units) and any(unit.until for unit in policy.units)
    assert any(unit.sequences for unit in policy.units)
    assert parse_policy(policy.encode().encode()) == policy


def test_example_of_a_policy_explains_every_line() -> None:
    before = ""
    for line in _read(ROOT / "config" / "trust.example.policy").splitlines():
        if line and not line.startswith("#"):
            keyword = line.split()[0]
            assert before.startswith("#") or before.split()[0] == keyword, line
        before = line
