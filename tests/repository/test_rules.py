# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, as far as a program can see to them."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "center", "evidence", "terminal")


def _tracked() -> list[Path]:
    """Give the files that belong to the project: those that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    paths = (ROOT / name.decode() for name in listed.split(b"\0") if name)
    return sorted(path for path in paths if path.is_file())


def _python(*folders: str) -> list[Path]:
    return [path for path in _tracked() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


_OUTSIDE = (
    "socket", "ssl", "http", "urllib", "httpcore", "httpx", "paramiko", "asyncio", "select", "sqlite3", "psycopg2", "sqlalchemy", "yaml",
    "pydantic", "time", "random", "secrets", "uuid", "logging", "subprocess", "datetime.datetime.now", "rich", "locale",
    "tempfile", "platform", "getpass",
)  # fmt: skip
_CALLS = re.compile(
    r"(datetime|date)\.(now|utcnow|today)|time\.(time|monotonic|perf_counter)\w*|os\.(environ|environb|getenv)"
)


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _outside_world(tree: ast.AST) -> Iterator[str]:
    for name, line in _imports(tree):
        if any(name == banned or name.startswith(f"{banned}.") for banned in _OUTSIDE):
            yield f"line {line}: imports {name}"
    for node in ast.walk(tree):
        dotted = _dotted(node) if isinstance(node, ast.Attribute) else ""
        if dotted and any(_CALLS.fullmatch(part) for part in (dotted, ".".join(dotted.split(".")[-2:]))):
            yield f"line {node.lineno}: uses {dotted}"


def test_evidence_knows_no_clock_network_database_settings_or_environment() -> None:
    # The verifier's command is the verifier's own shell: it reads files, asks its clock and the environment once.
    shell = {"evidence/verify/command.py"}
    found = {_name(path): list(_outside_world(_tree(path))) for path in _python("evidence") if _name(path) not in shell}
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import environ\nimport os\nos.environ['x']",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.utcnow()",
        "import http.client",
        "from urllib.request import urlopen",
        "import yaml",
        "def f():\n    import sqlite3",
    ],
)
def test_rule_about_evidence_finds_what_it_forbids(source: str) -> None:
    assert list(_outside_world(ast.parse(source)))


def test_every_module_says_its_licence_and_what_it_is() -> None:
    wrong: list[str] = []
    for path in _python(*PACKAGES, "tests", "bench", "demo"):
        text = path.read_text(encoding="utf-8")
        if not text:
            wrong.append(f"{_name(path)}: empty")
            continue
        first = text.split("\n", 1)[0]
        if first != "# SPDX-License-Identifier: Apache-2.0":
            wrong.append(f"{_name(path)}: begins with {first!r}")
        elif not ast.get_docstring(_tree(path)):
            wrong.append(f"{_name(path)}: no docstring")
    assert wrong == []


def test_scripts_say_what_they_do_and_stop_at_the_first_error() -> None:
    scripts = [path for path in _tracked() if path.parent in (ROOT / "script", ROOT / ".ci")]
    assert {"bootstrap", "demo", "test", "bench", "run"} <= {path.name for path in scripts}
    for path in scripts:
        lines = path.read_text().split("\n")
        assert lines[0] == "#!/bin/sh", path
        assert lines[1].startswith("# "), path
        assert "set -eu" in lines or any(line.startswith("exec ") for line in lines), path
        assert path.stat().st_mode & 0o111, f"{path} cannot be run"


def test_no_module_is_named_after_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [_name(path) for path in _python(*PACKAGES) if path.stem in vague] == []


_PLACES = re.compile(r"(?<![\w.])/(?:work|home|root|Users)/(?!his-password)[\w.-]+|[A-Z]:\\Users\\")


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    wrong: list[str] = []
    for path in _tracked():
        if path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{_name(path)}: {match[0]}" for match in _PLACES.finditer(text)]
        if str(ROOT) in text:
            wrong.append(f"{_name(path)}: {ROOT}")
    assert wrong == []


def test_work_that_is_left_is_an_issue_and_not_a_remark() -> None:
    remark = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
    found = [
        f"{_name(path)}:{number}"
        for path in _python(*PACKAGES, "tests", "bench", "demo")
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if remark.search(line)
    ]
    assert found == []


def test_every_silenced_check_says_why() -> None:
    silenced = re.compile(r"# type: ignore(?P<code>\[[\w, -]+\])?(?P<why>.*)")
    wrong = [
        f"{_name(path)}:{number}"
        for path in _python(*PACKAGES)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if (match := silenced.search(line)) and (not match["code"] or len(match["why"].strip(" #-")) < 8)
    ]
    assert wrong == []


def test_import_contracts_are_kept() -> None:
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 broken" in done.stdout


def test_names_of_test_modules_are_unique() -> None:
    names = [path.name for path in _python("tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_no_two_tests_of_a_module_have_one_name() -> None:
    for path in _python("tests"):
        names = [node.name for node in _tree(path).body if isinstance(node, ast.FunctionDef)]
        assert sorted(names) == sorted(set(names)), path
