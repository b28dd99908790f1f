# SPDX-License-Identifier: Apache-2.0
"""Turn what pydantic finds wrong in settings into one sentence: file, line, key, what was found, what was meant.

Knows pydantic's error kinds and YAML's nodes; reads no file. Invariant: the mistake told is the first in the file.
"""

import json
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from terminal.complaints import suggest
from terminal.errors import SettingsError
from terminal.language import Text

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A settings file, for messages."""

    name: str

    def error(self, what: Text, hint: Text, *, line: int | None = None, path: Path = ()) -> SettingsError:
        """Give an error about this file: `agent.yaml line 3, sources[0].kind: what`."""
        key = write_key(path)
        at_zh = (f" 第 {line} 行" if line else "") + (f"，{key}" if key else "")
        at_en = (f" line {line}" if line else "") + (f", {key}" if key else "")
        return SettingsError(
            Text(zh=f"{self.name}{at_zh}：{what.zh}", en=f"{self.name}{at_en}: {what.en}"),
            hint=hint,
            path=self.name,
            line=line,
            key=key,
        )


def write_key(path: Sequence[str | int]) -> str:
    """Write a path as a person would: `sources[0].secret`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def describe_mistake(
    err: ValidationError, node: yaml.Node | None, place: Place, model: type[BaseModel]
) -> SettingsError:
    """Give the first mistake in the order of the file, and the number of others."""
    found = [_Mistake(details, node, model) for details in err.errors(include_url=False)]
    first = min(found, key=lambda each: each.line)
    what, hint = first.describe()
    if len(found) > 1:
        more = len(found) - 1
        hint = Text(
            zh=f"{hint.zh}；另有 {more} 处错误", en=f"{hint.en}; {more} more mistake{'s' * (more > 1)} in this file"
        )
    return place.error(what, hint, line=first.line, path=first.path)


class _Mistake:
    """One of pydantic's findings, with its place in the file."""

    def __init__(self, details: ErrorDetails, node: yaml.Node | None, model: type[BaseModel]) -> None:
        self.details = details
        self.path, self.line = _locate((*details["loc"], *details.get("ctx", {}).get("at", ())), node)
        self._tags = list(_tags_at(model, details["loc"]))
        self._known = sorted(set(_keys_at(model, details["loc"][:-1])))

    def describe(self) -> tuple[Text, Text]:
        """Give what is wrong and what to do."""
        kind, facts = self.details["type"], self.details.get("ctx", {})
        last = str(self.details["loc"][-1]) if self.details["loc"] else ""
        if kind == "extra_forbidden":
            return self._unknown_key(last)
        if kind == "missing":
            return (
                Text(zh=f"缺少 {last}", en=f"{last} is missing"),
                Text(zh=f"补上 {last}；示例见 config 目录", en=f"add {last}; the example in config/ shows it"),
            )
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            return self._kind(facts)
        if kind == "value_error":
            return self._found(_raised_by_model(facts, self.details["msg"]))
        if kind == "jinsuo":
            expected = Text(zh=f"应为{facts['zh']}", en=f"expected {facts['en']}")
            return self._found(expected) if not (facts["hidden"] or facts["at"]) else (expected, self._correct())
        return self._found(_expectation(kind, facts, self.details["msg"]))

    def _unknown_key(self, last: str) -> tuple[Text, Text]:
        near = suggest(last, self._known)
        known = ", ".join(self._known)
        return (
            Text(zh=f"不认识的键 {last}{near.zh}", en=f"unknown key {last}{near.en}"),
            Text(zh=f"此处可用：{known}", en=f"here there are: {known}"),
        )

    def _kind(self, facts: dict[str, Any]) -> tuple[Text, Text]:  # Any: pydantic's facts differ by kind
        tags = [tag.strip().strip("'") for tag in str(facts.get("expected_tags", "")).split(",") if tag.strip()]
        discriminator = str(facts.get("discriminator", "kind")).strip("'")
        if "tag" not in facts:
            known = ", ".join(self._tags)
            return (
                Text(zh=f"缺少 {discriminator}", en=f"{discriminator} is missing"),
                Text(zh=f"写明 {discriminator}：{known}", en=f"say which {discriminator} it is; there are: {known}"),
            )
        near = suggest(str(facts["tag"]), tags)
        return (
            Text(
                zh=f"没有 {discriminator} {facts['tag']}{near.zh}",
                en=f"there is no {discriminator} {facts['tag']}{near.en}",
            ),
            Text(zh=f"可用：{', '.join(tags)}", en=f"there are: {', '.join(tags)}"),
        )

    def _found(self, expected: Text) -> tuple[Text, Text]:
        found = self.details["input"]
        shown = _show(found)
        return (
            Text(zh=f"{expected.zh}，得到 {shown.zh}", en=f"{expected.en}, found {shown.en}"),
            self._correct(),
        )

    def _correct(self) -> Text:
        key = write_key(self.path[-1:]) if self.path else ""
        return Text(zh=f"改正 {key or '此处'}", en=f"correct {key or 'this place'}")


def _raised_by_model(facts: dict[str, Any], message: str) -> Text:  # Any: pydantic's facts differ by kind
    """Give what a model's own validator said: `raise ValueError(Text(…))` or `ValueError("…")`, what was expected."""
    raised = facts.get("error")
    said = raised.args[0] if isinstance(raised, ValueError) and raised.args else message
    text = said if isinstance(said, Text) else Text(zh=str(said), en=str(said))
    return Text(zh=f"应为{text.zh}", en=f"expected {text.en}")


def _expectation(kind: str, facts: dict[str, Any], message: str) -> Text:  # Any: pydantic's facts differ by kind
    names = {
        "string_type": Text(zh="文字（必要时加引号）", en="text (in quotes if it looks like something else)"),
        "int_type": Text(zh="整数", en="a whole number"),
        "float_type": Text(zh="数字", en="a number"),
        "bool_type": Text(zh="true 或 false", en="true or false"),
        "tuple_type": Text(zh="列表", en="a list"),
        "list_type": Text(zh="列表", en="a list"),
        "dict_type": Text(zh="一组键值", en="a mapping"),
        "model_type": Text(zh="一组键值", en="a mapping"),
        "model_attributes_type": Text(zh="一组键值", en="a mapping"),
        "path_type": Text(zh="路径", en="a path"),
        "none_required": Text(zh="空", en="nothing"),
    }
    listed = str(facts.get("expected")).replace(" or ", ", ")
    bounds = {
        "greater_than_equal": Text(zh=f"不小于 {facts.get('ge')}", en=f"at least {facts.get('ge')}"),
        "greater_than": Text(zh=f"大于 {facts.get('gt')}", en=f"more than {facts.get('gt')}"),
        "less_than_equal": Text(zh=f"不大于 {facts.get('le')}", en=f"at most {facts.get('le')}"),
        "less_than": Text(zh=f"小于 {facts.get('lt')}", en=f"less than {facts.get('lt')}"),
        "literal_error": Text(zh=f" {listed} 之一", en=f"one of {facts.get('expected')}"),
        "enum": Text(zh=f" {listed} 之一", en=f"one of {facts.get('expected')}"),
        "string_pattern_mismatch": Text(
            zh=f"符合 {facts.get('pattern')} 的文字", en=f"text such as {facts.get('pattern')}"
        ),
        "too_short": Text(zh=f"至少 {facts.get('min_length')} 项", en=f"at least {facts.get('min_length')} of them"),
        "string_too_short": Text(zh="非空的文字", en="text that is not empty"),
    }
    known = (names | bounds).get(kind)
    return Text(zh=f"应为{known.zh}", en=f"expected {known.en}") if known else Text(zh=message, en=message)


def _show(found: object) -> Text:
    """Show a value shortly; a long one may be a password in the wrong place, so its end is not shown."""
    if found is None:
        return Text(zh="空值", en="nothing")
    if isinstance(found, dict):
        return Text(zh="一组键值", en="a mapping")
    if isinstance(found, list):
        return Text(zh="一个列表", en="a list")
    if isinstance(found, bool):
        word = "true" if found else "false"
        return Text(zh=word, en=f"{word} (YAML reads yes, no, on and off so)")
    text = str(found)
    text = text if len(text) <= 24 else text[:24] + "…"
    if not text.isprintable():
        text = json.dumps(text, ensure_ascii=True)[1:-1]  # the sentence stays on one line
    text = f"'{text}'" if isinstance(found, str) else text
    return Text(zh=text, en=text)


def _locate(loc: Sequence[str | int], node: yaml.Node | None) -> tuple[Path, int]:
    """Follow pydantic's location through the file as far as it is there; names of union members are not."""
    path: list[str | int] = []
    line = node.start_mark.line + 1 if node is not None else 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == step]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                path.append(step)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
            path.append(step)
    return tuple(path), line


def _keys_at(annotation: object, loc: Sequence[str | int]) -> Iterator[str]:
    """Yield the keys that the model allows at `loc`."""
    for model in _models_in(annotation):
        if not loc:
            yield from (field.alias or name for name, field in model.model_fields.items())
            continue
        step = loc[0]
        if _is_member(model, step):
            yield from _keys_at(model, loc[1:])
            continue
        for name, field in model.model_fields.items():
            if step == (field.alias or name):
                yield from _keys_at(field.annotation, _without_index(loc[1:]))


def _tags_at(annotation: object, loc: Sequence[str | int]) -> Iterator[str]:
    """Yield the tags of the union at `loc`: what its members' Literal fields hold."""
    holders = list(_models_in(annotation))
    for step in loc:
        fields = [(name, field) for model in holders for name, field in model.model_fields.items()]
        if isinstance(step, int):
            continue
        holders = [
            each for name, field in fields if step == (field.alias or name) for each in _models_in(field.annotation)
        ]
    for model in holders:
        for field in model.model_fields.values():
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                yield str(get_args(field.annotation)[0])


def _without_index(loc: Sequence[str | int]) -> Sequence[str | int]:
    return loc[1:] if loc and isinstance(loc[0], int) else loc


def _is_member(model: type[BaseModel], tag: str | int) -> bool:
    """Tell whether `tag` is what says that `model` is meant among the members of a union."""
    return any(
        get_origin(field.annotation) is Literal and get_args(field.annotation) == (tag,)
        for field in model.model_fields.values()
    )


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation is made of, through lists, options and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, Annotated, tuple, list, dict):
        for part in get_args(annotation):
            yield from _models_in(part)
