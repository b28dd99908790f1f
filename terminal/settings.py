# SPDX-License-Identifier: Apache-2.0
"""Read a YAML settings file into a frozen pydantic model, or say in one sentence which line of which file is wrong.

Strict where YAML is lenient: no key twice, no anchors or aliases (a few bytes of them can describe gigabytes), no tags,
no dates or numbers where text is meant. Knows no setting of either side. Invariant: every refusal is a `SettingsError`
with file, line and key. Source: YAML 1.1 as PyYAML reads it.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from terminal.errors import SettingsError
from terminal.language import Text
from terminal.mistakes import Place, describe_mistake

MAX_SETTINGS_BYTES = 1 << 20
_SIZE = re.compile(r"([0-9]+) ?(B|KiB|MiB|GiB|TiB)")
_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_TIME = re.compile(r"([0-9]+) ?(s|min|h|d)")
_TIME_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class Settings(BaseModel):
    """What all settings have in common: frozen, no unknown keys, no conversions between types, no values in traces."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def _parse_size(value: object) -> object:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if not match:
            raise mistake(Text(zh="大小，例如 512 MiB 或 20 GiB", en="a size such as 512 MiB or 20 GiB"))
        return int(match[1]) * _SIZE_UNITS[match[2]]
    return value


def parse_duration(text: str) -> int | None:
    """Give the seconds that `30 s`, `10min`, `6 h` or `14 d` stand for; None if the text is no such time."""
    match = _TIME.fullmatch(text)
    return int(match[1]) * _TIME_UNITS[match[2]] if match else None


def _parse_duration(value: object) -> object:
    if isinstance(value, str):
        seconds = parse_duration(value)
        if seconds is None:
            raise mistake(
                Text(zh="时长，例如 30 s、10 min、6 h 或 14 d", en="a time such as 30 s, 10 min, 6 h or 14 d")
            )
        return seconds
    return value


def mistake(expected: Text, *, at: tuple[str | int, ...] = (), hidden: bool = False) -> PydanticCustomError:
    """Give the error that a model's validator raises: what was expected, and where below the validated value.

    `hidden`: the value found may be a password and is not shown.
    """
    return PydanticCustomError(
        "jinsuo", "{en}", {"en": expected.en, "zh": expected.zh, "at": list(at), "hidden": hidden}
    )


SizeBytes = Annotated[int, BeforeValidator(_parse_size)]
"""A whole number of bytes, or text such as `20 GiB`."""
Seconds = Annotated[int, BeforeValidator(_parse_duration)]
"""A whole number of seconds, or text such as `6 h`."""

Model = TypeVar("Model", bound=BaseModel)


def read_settings(path: Path, model: type[Model]) -> Model:
    """Read the file at `path` into `model`. Raises: SettingsError, also if the file is not there."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SETTINGS_BYTES + 1)
    except FileNotFoundError as err:
        raise SettingsError(
            Text(zh=f"没有配置文件 {path}", en=f"there is no settings file {path}"),
            hint=Text(
                zh="用 -C 指明目录，或先运行 init",
                en="name the right folder with -C, or make one with `init`",
            ),
            path=str(path),
        ) from err
    return parse_settings(raw, str(path), model)


def parse_settings(raw: bytes, name: str, model: type[Model]) -> Model:
    """Read the bytes of a settings file into `model`; `name` is for messages. Raises: SettingsError."""
    place = Place(name)
    node = _compose(_decode(raw, place), place)
    data = _plain(node, place, ())
    try:
        # Through JSON, because that is where pydantic's strict mode takes lists for tuples and text for enums.
        return model.model_validate_json(json.dumps(data, ensure_ascii=False, allow_nan=False))
    except ValidationError as err:
        raise describe_mistake(err, node, place, model) from err


def _decode(raw: bytes, place: Place) -> str:
    if len(raw) > MAX_SETTINGS_BYTES:
        raise place.error(
            Text(zh=f"超过 {MAX_SETTINGS_BYTES} 字节", en=f"it is longer than {MAX_SETTINGS_BYTES} bytes"),
            Text(zh="检查是否指错了文件", en="check that this is the right file"),
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise place.error(
            Text(zh="文件是 UTF-16 编码", en="the file is UTF-16"), Text(zh="另存为 UTF-8", en="save it as UTF-8")
        )
    try:
        return raw.decode("utf-8-sig")  # Windows editors put a byte order mark before UTF-8
    except UnicodeDecodeError as err:
        raise place.error(
            Text(zh="不是 UTF-8 编码（可能是 GBK）", en="the bytes are not UTF-8 (GBK perhaps)"),
            Text(zh="另存为 UTF-8", en="save it as UTF-8"),
            line=raw[: err.start].count(b"\n") + 1,
        ) from err


def _compose(text: str, place: Place) -> yaml.Node | None:
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
                raise place.error(
                    Text(zh="不允许锚点、别名和标签（& * !）", en="anchors, aliases and tags (& * !) are not allowed"),
                    Text(zh="把内容写全，或给值加引号", en="write the value out, or put it in quotes"),
                    line=token.start_mark.line + 1,
                )
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as err:
        raise place.error(
            Text(zh="含有 YAML 不允许的字符", en=f"it has the character U+{_code_point(err):04X}, which YAML forbids"),
            Text(zh="删去该字符", en="remove that character"),
            line=text[: err.position].count("\n") + 1,
        ) from err
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        problem = " ".join(part for part in (err.context, err.problem) if part)
        raise place.error(
            Text(zh=f"不是合法的 YAML：{problem}", en=f"it is not YAML: {problem}"),
            Text(
                zh="检查缩进（只用空格，不用制表符）、冒号后的空格和引号",
                en="check the indentation (blanks, never tabs), the blank after each colon, and quotes",
            ),
            line=mark.line + 1 if mark else None,
        ) from err
    except RecursionError as err:
        raise place.error(
            Text(zh="嵌套太深", en="it is nested too deeply"), Text(zh="检查括号", en="check the brackets")
        ) from err


def _code_point(err: yaml.reader.ReaderError) -> int:
    character = err.character
    return ord(character) if isinstance(character, str) else int(character)


def _plain(node: yaml.Node | None, place: Place, path: tuple[str | int, ...]) -> object:
    """Give the value of `node` as JSON has it. An empty file is an empty mapping."""
    if node is None:
        return {}
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(node, place, path)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, place, (*path, index)) for index, item in enumerate(node.value)]
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError) as err:
        # YAML 1.1 has words that the library recognises and cannot read: `=`, `0b`, times that no calendar has.
        raise place.error(
            Text(zh=f"{node.value} 在 YAML 中有特殊含义", en=f"{node.value} has a meaning of its own in YAML"),
            Text(zh="若是文字，请加引号", en="put it in quotes if it is text"),
            line=node.start_mark.line + 1,
            path=path,
        ) from err
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise place.error(
        Text(zh=f"{node.value} 会被当成{_zh_kind(value)}", en=f"{node.value} reads as a {_en_kind(value)}"),
        Text(zh="若是文字，请加引号", en="put it in quotes if it is text"),
        line=node.start_mark.line + 1,
        path=path,
    )


def _plain_mapping(node: yaml.MappingNode, place: Place, path: tuple[str | int, ...]) -> Mapping[str, object]:
    found: dict[str, object] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
            raise place.error(
                Text(zh="键必须是文字", en="a key must be plain text"),
                Text(zh="检查括号和冒号", en="check brackets and colons"),
                line=line,
                path=path,
            )
        key = str(key_node.value)
        if key in found:
            raise place.error(
                Text(
                    zh=f"键 {key} 出现两次（先在第 {lines[key]} 行）",
                    en=f"key {key} stands twice (first in line {lines[key]})",
                ),
                Text(zh="删去其一", en="remove one of them"),
                line=line,
                path=(*path, key),
            )
        lines[key] = line
        found[key] = _plain(value_node, place, (*path, key))
    return found


def _zh_kind(value: object) -> str:
    return (
        "特殊的数字"
        if isinstance(value, float)
        else "日期"
        if type(value).__name__ in ("date", "datetime")
        else "二进制"
    )


def _en_kind(value: object) -> str:
    return (
        "special number"
        if isinstance(value, float)
        else "date"
        if type(value).__name__ in ("date", "datetime")
        else "binary"
    )
