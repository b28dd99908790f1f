# SPDX-License-Identifier: Apache-2.0
"""What argparse complains about, in Chinese and English, with a suggestion where a word was mistyped.

argparse gives its complaints in English only (its gettext domain ships no translations); the few kinds there are stand
here as patterns. A complaint of no known kind is passed on in English under a Chinese heading.
"""

import difflib
import re
from collections.abc import Callable

from terminal.language import Text


def translate_complaint(message: str) -> Text:
    """Give argparse's `message` in both languages."""
    for pattern, translate in _KINDS:
        match = pattern.fullmatch(message)
        if match:
            return translate(*(group or "" for group in match.groups()))
    return Text(zh=f"命令行有误：{message}", en=message)


def suggest(word: str, known: list[str]) -> Text:
    """Give ` (did you mean 'x'?)`, or nothing if no known word is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return Text(zh=f"（是否指 {near[0]}？）", en=f" (did you mean {near[0]}?)") if near else Text("", "")


def _missing(names: str) -> Text:
    return Text(zh=f"缺少参数：{names}", en=f"missing: {names}")


def _choice(name: str, word: str, choices: str) -> Text:
    known = [each.strip().strip("'\"") for each in choices.split(",")]
    near = suggest(word, known)
    listed = ", ".join(known)
    subject = name.strip()
    return Text(
        zh=f"{subject}：没有 {word}{near.zh}，可用：{listed}",
        en=f"{subject}: there is no {word}{near.en}; there are: {listed}",
    )


def _number(name: str, kind: str, word: str) -> Text:
    kinds = {"int": Text(zh="整数", en="a whole number"), "float": Text(zh="数字", en="a number")}
    wanted = kinds.get(kind, Text(zh=kind, en=kind))
    return Text(zh=f"{name}：应为{wanted.zh}，得到 {word}", en=f"{name}: expected {wanted.en}, found {word}")


def _one(name: str) -> Text:
    return Text(zh=f"{name}：后面要跟一个值", en=f"{name}: a value must follow")


def _some(name: str) -> Text:
    return Text(zh=f"{name}：后面至少要跟一个值", en=f"{name}: at least one value must follow")


def _surplus(name: str, word: str) -> Text:
    return Text(zh=f"{name}：不带值，得到 {word}", en=f"{name}: takes no value, found {word}")


def _apart(name: str, other: str) -> Text:
    return Text(zh=f"{name} 不能与 {other} 同时使用", en=f"{name} cannot be used together with {other}")


_KINDS: tuple[tuple[re.Pattern[str], Callable[..., Text]], ...] = (
    (re.compile(r"the following arguments are required: (.+)", re.DOTALL), _missing),
    (re.compile(r"argument (.+?): invalid choice: '?(.*?)'? \(choose from (.+)\)", re.DOTALL), _choice),
    (re.compile(r"argument (.+?): invalid (\w+) value: (.+)", re.DOTALL), _number),
    (re.compile(r"argument (.+?): expected one argument"), _one),
    (re.compile(r"argument (.+?): expected at least one argument"), _some),
    (re.compile(r"argument (.+?): ignored explicit argument (.+)", re.DOTALL), _surplus),
    (re.compile(r"argument (.+?): not allowed with argument (.+)"), _apart),
)
