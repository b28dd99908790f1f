# SPDX-License-Identifier: Apache-2.0
"""What an error tells a person is there in Chinese and in English: no error is made of words in one language alone."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import evidence.errors
from evidence.errors import EvidenceError

ROOT = Path(__file__).parents[2]
ROOMS = ("agent", "center", "evidence", "terminal", "bundle")
FIRST = "terminal.errors.OperatorError"

OVER_THE_LINE = (
    "it goes to an agent over HTTPS, in English as `Refusal` is; the agent says what its code means (refusals.py)"
)
EXCEPTIONS = {
    "center.receive.api": OVER_THE_LINE,
    "center.receive.auth": OVER_THE_LINE,
    "center.receive.body": OVER_THE_LINE,
    "center.receive.endpoints": OVER_THE_LINE,
}


@dataclass
class Module:
    """A module, as far as this test looks: what its names stand for elsewhere, its classes, its constants."""

    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)


def read_module(name: str, tree: ast.Module) -> Module:
    module = Module(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module.names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            module.names[node.name] = f"{name}.{node.name}"
            module.bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                module.names[target.id] = f"{name}.{target.id}"
                module.values[target.id] = node.value
    return module


def read_house() -> dict[str, Module]:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return {name: read_module(name, ast.parse(path.read_text(encoding="utf-8"))) for name, path in named.items()}


def find_errors(house: dict[str, Module]) -> set[str]:
    """Give the full names of all classes below OperatorError."""
    below = {
        f"{name}.{cls}": [module.names.get(base, base) for base in bases]
        for name, module in house.items()
        for cls, bases in module.bases.items()
    }
    found = {FIRST}
    while more := {cls for cls, bases in below.items() if cls not in found and found.intersection(bases)}:
        found |= more
    return found


def find_bare(house: dict[str, Module], name: str, errors: set[str]) -> Iterator[str]:
    """Yield where the module makes an error of words in one language."""
    module = house[name]
    for scope in [module.tree, *(node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))]:
        for node in _within(scope):
            if not isinstance(node, ast.Call):
                continue
            hints = [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
            is_error = isinstance(node.func, ast.Name) and module.names.get(node.func.id) in errors
            if not (is_error or hints):
                continue
            if any(_is_bare(house, module, scope, words) for words in (*node.args[:1], *hints)):
                yield f"{name}: {ast.unparse(node)[:120]}"


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a module or function, and not in a function in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef):
            yield from _within(child)


def _is_bare(house: dict[str, Module], module: Module, scope: ast.AST, words: ast.expr) -> bool:
    """Tell whether an expression gives a str that is meant to be read, as far as its form and its names show."""
    if isinstance(words, ast.Constant):
        return isinstance(words.value, str) and words.value != ""
    if isinstance(words, ast.JoinedStr):
        return True
    if isinstance(words, ast.BinOp):
        return any(_is_bare(house, module, scope, side) for side in (words.left, words.right))
    if isinstance(words, ast.IfExp):
        return any(_is_bare(house, module, scope, side) for side in (words.body, words.orelse))
    if isinstance(words, ast.Call):
        function = words.func
        if isinstance(function, ast.Attribute):
            return function.attr in ("format", "join", "replace", "strip")
        return isinstance(function, ast.Name) and function.id == "str"
    if not isinstance(words, ast.Name):
        return False
    if isinstance(scope, ast.FunctionDef):
        arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
        if any(
            a.arg == words.id and isinstance(a.annotation, ast.Name) and a.annotation.id == "str" for a in arguments
        ):
            return True
        given = [n for n in _within(scope) if isinstance(n, ast.Assign)]
        if any(isinstance(t, ast.Name) and t.id == words.id for n in given for t in n.targets):
            return any(
                not isinstance(n.value, ast.Name) and _is_bare(house, module, scope, n.value)
                for n in given
                if any(isinstance(t, ast.Name) and t.id == words.id for t in n.targets)
            )
    home, _, constant = module.names.get(words.id, "").rpartition(".")
    value = house[home].values.get(constant) if home in house else None
    return value is not None and _is_bare(house, house[home], house[home].tree, value)


HOUSE = read_house()
ERRORS = find_errors(HOUSE)


def test_no_error_is_told_in_one_language_alone() -> None:
    assert len(ERRORS) > 50
    assert [bare for name in HOUSE if name not in EXCEPTIONS for bare in find_bare(HOUSE, name, ERRORS)] == []


def test_exceptions_are_needed() -> None:
    assert [name for name in EXCEPTIONS if not list(find_bare(HOUSE, name, ERRORS))] == []


def test_what_only_goes_over_the_line_is_raised_for_nobody_else() -> None:
    """Commands that import what an exception names would show its words to a person."""
    mine = {*EXCEPTIONS, "center.receive.server"}
    allowed = {"Api", "Limits", "make_api"}  # `center.app` puts the receiver together
    taken = {
        full
        for name, module in HOUSE.items()
        if name.startswith(("center.cli", "center.app", "center.media", "center.receive.inbox", "center.receive.bags"))
        for full in module.names.values()
        if full.rpartition(".")[0] in mine - {"center.receive.server"}
    }
    assert {full.rpartition(".")[2] for full in taken} <= allowed


def test_every_kind_of_evidence_error_says_in_chinese_what_it_means() -> None:
    kinds = [
        kind for kind in vars(evidence.errors).values() if isinstance(kind, type) and issubclass(kind, EvidenceError)
    ]
    assert len(kinds) > 10
    meanings = [vars(kind).get("meaning_zh", "") for kind in kinds]
    assert [kind for kind, meaning in zip(kinds, meanings, strict=True) if not re.search("[一-鿿]", meaning)] == []
    assert len(set(meanings)) == len(meanings)


def test_no_finding_of_an_audit_is_told_in_one_language_alone() -> None:
    """`Findings.add` takes a str for what a library or `evidence` has said; words of ours are there in both languages."""
    adds = [
        (name, node)
        for name, module in HOUSE.items()
        if name.startswith("center.audit.")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add"
        if len(node.args) == 3
    ]
    assert len(adds) > 30
    assert [
        ast.unparse(node) for _, node in adds if isinstance(node.args[2], ast.Constant | ast.JoinedStr | ast.BinOp)
    ] == []


@pytest.mark.parametrize(
    "source",
    [
        'raise FullError("there is no room", hint=Text("腾出空间", "make room"))',
        'raise FullError(Text("满", "full"), hint="make room")',
        'def f(path):\n    raise FullError(f"no room for {path}", hint=Text("", ""))',
        'HINT = "make room"\nraise FullError(Text("满", "full"), hint=HINT)',
        'def f(err):\n    what = str(err)\n    return FullError(what, hint=Text("", ""))',
        "def f(words: str):\n    return FullError(words, hint=words)",
        'def f(kind):\n    raise kind("it is full", hint=Text("", ""))',
        'raise FullError("a" if x else Text("满", "full"), hint=Text("", ""))',
        'raise FullError("a{}".format(1), hint=Text("", ""))',
        'raise Fuller("it is full")\nclass Fuller(FullError): ...',
        "from center.registry.other import WORDS\nraise FullError(WORDS, hint=WORDS)",
    ],
)
def test_rule_about_errors_finds_what_it_forbids(source: str) -> None:
    head = "from center.errors import FullError\nfrom terminal.language import Text\n"
    house = HOUSE | {
        "center.new": read_module("center.new", ast.parse(head + source)),
        "center.registry.other": read_module("center.registry.other", ast.parse('WORDS = "it is full"')),
    }
    assert len(list(find_bare(house, "center.new", find_errors(house)))) == 1
